"""Documents of the docstring corpus."""

from __future__ import annotations

import itertools
import json
from pathlib import Path


def documents(corpus: Path, limit: int | None = None) -> list[str]:
    """Return the first documents that a model is trained on, in the order of the corpus.

    Args:
      corpus: folder with ``train.jsonl``.
      limit: maximum number; None for all.

    Raises:
      SystemExit: there is no corpus.
    """
    path = corpus / "train.jsonl"
    if not path.is_file():
        raise SystemExit(
            f"{path} does not exist. Make the corpus first: tallygraph corpus docstrings "
            f"--output {corpus}"
        )
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line)["document"] for line in itertools.islice(lines, limit)]
