"""Sums over scored summaries, and the metrics that follow from them.

The sums of two disjoint sets of examples merge into those of their union, so that they can
be built anywhere and in any order. All sums are of floats of about the same size, so the
order changes a metric by no more than rounding.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Self

from pipelines.evaluation.scores import Answer, Score


@dataclass(slots=True)
class Statistics:
    """Sums over a set of scored summaries. Starts empty; `add` and `merge` change it."""

    examples: int = 0
    rouge: list[float] = field(default_factory=lambda: [0.0] * 3)
    baseline: list[float] = field(default_factory=lambda: [0.0] * 3)
    rouge_l_squared: float = 0.0
    lift_l_squared: float = 0.0
    repeated: float = 0.0
    reference_repeated: float = 0.0
    truncated: int = 0
    ended_by_length: int = 0
    empty: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    # Hashes, not texts: 8 bytes of content for each different summary of the slice.
    summaries: set[int] = field(default_factory=set)
    references: set[int] = field(default_factory=set)

    def add(self, answer: Answer, score: Score) -> None:
        self.examples += 1
        for kind in range(3):
            self.rouge[kind] += score.rouge[kind]
            self.baseline[kind] += score.baseline[kind]
        self.rouge_l_squared += score.rouge[2] ** 2
        self.lift_l_squared += (score.rouge[2] - score.baseline[2]) ** 2
        self.repeated += score.repeated
        self.reference_repeated += score.reference_repeated
        self.truncated += score.truncated
        self.ended_by_length += score.ended_by_length
        self.empty += score.empty
        self.input_tokens += answer.input_tokens
        self.output_tokens += answer.output_tokens
        self.summaries.add(score.summary_hash)
        self.references.add(score.reference_hash)

    def merge(self, others: Iterable[Self]) -> None:
        """Add the sums of summaries that are not included yet."""
        for other in others:
            for kind in range(3):
                self.rouge[kind] += other.rouge[kind]
                self.baseline[kind] += other.baseline[kind]
            for name in _SUMS:
                setattr(self, name, getattr(self, name) + getattr(other, name))
            self.summaries |= other.summaries
            self.references |= other.references

    def mean(self, total: float) -> float:
        return total / self.examples if self.examples else math.nan

    def margin_95(self, total: float, squares: float) -> float:
        """Return half the width of the 95 % interval of a mean (normal approximation).

        NaN for fewer than two examples.
        """
        if self.examples < 2:
            return math.nan
        spread = max(0.0, squares - total**2 / self.examples) / (self.examples - 1)
        return 1.96 * math.sqrt(spread / self.examples)


_SUMS: Final = (
    "examples",
    "rouge_l_squared",
    "lift_l_squared",
    "repeated",
    "reference_repeated",
    "truncated",
    "ended_by_length",
    "empty",
    "input_tokens",
    "output_tokens",
)

# Every metric of the report. All are means over the examples of a slice, `examples` and the
# two shares of different texts excepted; shares and ROUGE are 0 to 1.
METRICS: Final[Mapping[str, Callable[[Statistics], float]]] = {
    "examples": lambda s: float(s.examples),
    "rouge_1_f1": lambda s: s.mean(s.rouge[0]),
    "rouge_2_f1": lambda s: s.mean(s.rouge[1]),
    "rouge_l_f1": lambda s: s.mean(s.rouge[2]),
    "rouge_l_f1_margin_95": lambda s: s.margin_95(s.rouge[2], s.rouge_l_squared),
    "baseline_rouge_1_f1": lambda s: s.mean(s.baseline[0]),
    "baseline_rouge_2_f1": lambda s: s.mean(s.baseline[1]),
    "baseline_rouge_l_f1": lambda s: s.mean(s.baseline[2]),
    "lift_rouge_1_f1": lambda s: s.mean(s.rouge[0] - s.baseline[0]),
    "lift_rouge_2_f1": lambda s: s.mean(s.rouge[1] - s.baseline[1]),
    "lift_rouge_l_f1": lambda s: s.mean(s.rouge[2] - s.baseline[2]),
    "lift_rouge_l_f1_margin_95": lambda s: s.margin_95(
        s.rouge[2] - s.baseline[2], s.lift_l_squared
    ),
    "mean_input_tokens": lambda s: s.mean(s.input_tokens),
    "mean_output_tokens": lambda s: s.mean(s.output_tokens),
    "share_truncated": lambda s: s.mean(s.truncated),
    "share_length": lambda s: s.mean(s.ended_by_length),
    "share_empty": lambda s: s.mean(s.empty),
    "share_distinct": lambda s: s.mean(len(s.summaries)),
    "share_repeated": lambda s: s.mean(s.repeated),
    "reference_share_distinct": lambda s: s.mean(len(s.references)),
    "reference_share_repeated": lambda s: s.mean(s.reference_repeated),
}
