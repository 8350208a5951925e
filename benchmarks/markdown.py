"""Tables in Markdown."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence


def row(cells: Iterable[object]) -> str:
    return "| " + " | ".join(map(str, cells)) + " |\n"


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table with its header; every line ends with a line feed."""
    return "".join(itertools.chain((row(header), row(["---"] * len(header))), map(row, rows)))
