"""What a model server was asked to compute for a request, as a hash.

By it a charge is held to the server's own log, which has texts and no request ids; the ledger
has ids and no texts.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence


def work_hash(texts: Sequence[str], limits: Sequence[int]) -> str:
    """SHA-256, in hex, of ``[[text, limit], ...]`` as JSON in UTF-8 with no spaces.

    Args:
      texts: of the rows that the server was sent, in their order; not those that a cache
        answered. At least one.
      limits: tokens to write for each at most; 0 for the model's own.
    """
    if not texts:
        raise ValueError(
            "There is no fingerprint of a request without texts. Leave the hash empty."
        )
    rows = [[text, limit] for text, limit in zip(texts, limits, strict=True)]
    written = json.dumps(rows, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(written.encode("utf-8", "surrogatepass")).hexdigest()
