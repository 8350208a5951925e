"""A corpus of any size: the docstring corpus, repeated, no two documents the same."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Final

# A file is what one worker reads.
ROWS_PER_FILE: Final = 25_000


def write_corpus(source: Path, rows: int, folder: Path) -> None:
    """Write JSONL files of pairs of a document and its summary.

    Args:
      source: folder of the docstring corpus, with `train.jsonl`.
      rows: number of pairs in all.
      folder: for the files; empty or new.

    Raises:
      SystemExit: there is no such corpus.
    """
    folder.mkdir(parents=True, exist_ok=True)
    pairs = _pairs(source / "train.jsonl")
    for first in range(0, rows, ROWS_PER_FILE):
        path = folder / f"pairs-{first // ROWS_PER_FILE:05d}.jsonl"
        with path.open("w", encoding="utf-8") as file:
            for _ in range(first, min(first + ROWS_PER_FILE, rows)):
                file.write(json.dumps(next(pairs)) + "\n")


def _pairs(path: Path) -> Iterator[dict[str, str]]:
    if not path.is_file():
        raise SystemExit(
            f"{path} does not exist. Make the corpus first: tallygraph corpus docstrings "
            f"--output {path.parent}"
        )
    turn = 0
    while True:
        with path.open(encoding="utf-8") as lines:
            for line in lines:
                row = json.loads(line)
                mark = f" Copy {turn}." if turn else ""
                yield {"document": row["document"] + mark, "summary": row["summary"]}
        turn += 1
