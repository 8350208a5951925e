"""Heads and tables of the benchmarks' pages, in Markdown."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence


def head(title: str, command: str) -> str:
    """A page's title, and the beginning of its first sentence: which command makes it."""
    return f"# {title}\n\nMade by `{command}`"


def row(cells: Iterable[object]) -> str:
    return "| " + " | ".join(map(str, cells)) + " |\n"


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table with its header; every line ends with a line feed."""
    return "".join(itertools.chain((row(header), row(["---"] * len(header))), map(row, rows)))
