"""The fingerprint of a tokenizer, which identifies the counts that it gives.

It is the SHA-256 of a listing of the canonical files, in the format of `sha256sum`, sorted by
name, so that anybody can check it without this project::

    $ cd TOKENIZER_DIR && sha256sum tokenizer.model | sha256sum
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping


def fingerprint_of(files: Mapping[str, bytes]) -> str:
    """Return the fingerprint of canonical files.

    Args:
      files: content by file name. The descriptor is not one of them, because it contains the
        fingerprint.

    Returns:
      64 hexadecimal digits.
    """
    listing = "".join(
        f"{hashlib.sha256(content).hexdigest()}  {name}\n"
        for name, content in sorted(files.items())
    )
    return hashlib.sha256(listing.encode("utf-8")).hexdigest()
