"""The statistics that the benchmarks share."""

from __future__ import annotations

import random

import pytest

from benchmarks import markdown
from benchmarks.timings import median_interval, median_with_range, ratio_of_turns


def test_a_ratio_is_of_the_same_turn() -> None:
    # Given a machine that was slow in the first turn, for both
    assert ratio_of_turns([10.0, 1.0, 1.2], [5.0, 0.5, 0.3]) == 2
    with pytest.raises(ValueError, match="shorter"):
        ratio_of_turns([1.0, 2.0], [1.0])


def test_an_interval_is_of_the_values_ranks() -> None:
    # Of ten values, the second least and most: P(at most one below the median) = 11/1024.
    assert median_interval([float(i) for i in range(10, 0, -1)]) == (5.5, 2.0, 9.0)
    assert median_interval([1.0] * 6, 0.95) == (1.0, 1.0, 1.0)  # 1/64 at each end
    with pytest.raises(ValueError, match=r"too few values .* Received: 5"):
        median_interval([1.0] * 5, 0.95)


def test_an_interval_holds_the_true_median_as_often_as_it_says() -> None:
    draw = random.Random(3)
    held = 0
    for _ in range(1000):
        interval = median_interval([draw.expovariate(1.0) for _ in range(40)])
        held += interval.low <= 0.6931 <= interval.high
    assert 950 <= held <= 985


def test_a_table_says_median_and_range() -> None:
    cell = median_with_range([0.001, 2.0, 0.0304], 1e3)
    assert markdown.table(("ms",), [(cell,)]) == "| ms |\n| --- |\n| 30 (1-2,000) |\n"
