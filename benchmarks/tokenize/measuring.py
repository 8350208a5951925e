"""Ids a second of two engines, measured turn by turn so that both see the same machine."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.timings import ratio_of_turns
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
        return ratio_of_turns(self.graph, self.library)


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
