"""Ids a second of two engines, measured turn by turn so that both see the same machine."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.tokenize.engines import Encode, Engines


@dataclass(frozen=True)
class Rates:
    """Ids a second over some turns.

    Attributes:
      graph, library: of each turn.
    """

    graph: tuple[float, ...]
    library: tuple[float, ...]

    @property
    def ratio(self) -> float:
        """Of graph to library: the median over the turns, each of which ran both."""
        pairs = zip(self.graph, self.library, strict=True)
        return statistics.median(graph / library for graph, library in pairs)


def measure(engines: Engines, texts: Sequence[str], batch: int, turns: int) -> Rates:
    """Encode all texts in batches with each engine, `turns` times.

    Raises:
      AssertionError: the engines give the texts another number of ids.
    """
    batches = [texts[i : i + batch] for i in range(0, len(texts), batch)]
    graph, library = engines.encode_in_graph, engines.encode_by_library
    for some in batches[:20]:  # caches, threads, first allocations
        if graph(some) != library(some):
            raise AssertionError(f"the engines disagree on {some!r:.200}")
    rates: dict[Encode, list[float]] = {graph: [], library: []}
    for turn in range(turns):
        # Each engine is first every other time.
        for encode in (graph, library) if turn % 2 else (library, graph):
            started = time.perf_counter()
            ids = sum(map(encode, batches))
            rates[encode].append(ids / (time.perf_counter() - started))
    return Rates(tuple(rates[graph]), tuple(rates[library]))


def spread(values: Sequence[float]) -> str:
    """Median with least and most, in thousands."""
    least, middle, most = (
        f"{value / 1000:,.0f}"
        for value in (min(values), statistics.median(values), max(values))
    )
    return f"{middle} ({least}-{most})"


def markdown_row(cells: Sequence[object]) -> str:
    return "| " + " | ".join(map(str, cells)) + " |\n"


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    return "".join(
        itertools.chain(
            (markdown_row(header), markdown_row(["---"] * len(header))), map(markdown_row, rows)
        )
    )
