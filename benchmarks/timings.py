"""Statistics of repeated timings. Engines take turns, so that all see the same machine."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import NamedTuple


class Interval(NamedTuple):
    """A median and its confidence interval."""

    median: float
    low: float
    high: float


def moved_on(names: Sequence[str], turn: int) -> list[str]:
    """Return the order of calls in a turn, which rotates by one from turn to turn.

    So each follows every other, and none is always the first.
    """
    first = turn % len(names) if names else 0
    return [*names[first:], *names[:first]]


def ratio_of_turns(numerator: Sequence[float], denominator: Sequence[float]) -> float:
    """Median over turns of the ratio within each turn.

    A turn during which the machine was slow was slow for both, so it does no harm.
    """
    return statistics.median(a / b for a, b in zip(numerator, denominator, strict=True))


def median_interval(values: Sequence[float], confidence: float = 0.95) -> Interval:
    """The median with its distribution-free confidence interval.

    The interval's ends are two of the values: by the binomial law of how many of them lie
    below the true median. No assumption is made about their distribution, except that they are
    independent.

    Raises:
      ValueError: there are too few values for the confidence asked for.
    """
    ordered = sorted(values)
    n = len(ordered)
    outside, rank = 0.0, 0  # probability, and values left out, at each end
    while True:
        outside += math.comb(n, rank) / 2**n
        if outside > (1 - confidence) / 2:
            break
        rank += 1
    if not rank:
        raise ValueError(
            f"too few values for an interval. Expected: enough for a confidence of "
            f"{confidence}. Received: {n}"
        )
    return Interval(statistics.median(ordered), ordered[rank - 1], ordered[-rank])


def median_with_range(values: Sequence[float], scale: float = 1.0, digits: int = 0) -> str:
    """``median (least-most)``, each times ``scale``, with so many digits after the point."""
    least, middle, most = (
        f"{value * scale:,.{digits}f}"
        for value in (min(values), statistics.median(values), max(values))
    )
    return f"{middle} ({least}-{most})"
