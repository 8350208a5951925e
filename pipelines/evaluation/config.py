"""The ``[evaluation]`` section: how much is evaluated and what a blessing takes."""

from __future__ import annotations

from typing import Literal

from pydantic import field_validator
from pydantic.dataclasses import dataclass

from pipelines.setting import STRICT, setting


@dataclass(frozen=True, config=STRICT)
class EvaluationConfig:
    """Thresholds that the metered model must reach to be pushed. The defaults refuse a
    collapsed model."""

    min_rouge_l: float = setting(
        0.1, "Minimum mean ROUGE-L F1 against the references.", ge=0, le=1
    )
    min_lift_over_baseline_rouge_l: float = setting(
        0.0,
        "Minimum lead in mean ROUGE-L F1 over the trivial baseline, the document's first "
        "sentence; a negative value allows a model that is worse than the baseline.",
        ge=-1,
        le=1,
    )
    max_share_repeated: float = setting(
        0.15,
        "Maximum mean share of repetition in a summary: word pairs, or five letters in a "
        "row, that occurred in it before. Real summaries have about 0.02; a model in a "
        "loop has 0.3 or more.",
        ge=0,
        le=1,
    )
    min_share_distinct: float = setting(
        0.5,
        "Minimum number of distinct summaries per example. A model that writes the same "
        "summary for every text is near 0. If the references themselves repeat, set a "
        "lower value.",
        ge=0,
        le=1,
    )
    max_share_length: float = setting(
        1.0,
        "Maximum share of summaries that the output limit cut off (1: any share).",
        ge=0,
        le=1,
    )
    max_share_empty: float = setting(
        0.05, "Maximum share of summaries without a single word (1: any share).", ge=0, le=1
    )
    max_rouge_l_drop_vs_champion: float = setting(
        0.02,
        "How far mean ROUGE-L F1 may fall below that of the latest blessed model on the "
        "same examples; not checked if there is none.",
        ge=0,
        le=1,
    )
    max_examples: int = setting(
        2000,
        "Maximum number of examples of the eval split that are evaluated, the same ones in "
        "every run (those with the smallest hashes).",
        ge=1,
        le=1_000_000,
    )
    batch_size: int = setting(32, "Number of rows in a call of the model.", ge=1, le=4096)
    max_sources: int = setting(
        12,
        "Maximum number of sources that get their own slice, the largest first; the others "
        "form the slice 'other sources'.",
        ge=0,
        le=1000,
    )
    min_examples_per_slice: int = setting(
        30,
        "A source with fewer examples than this counts as 'other sources'; a slice with "
        "fewer is left out of the report.",
        ge=1,
    )
    length_bucket_words: tuple[int, ...] = setting(
        (32, 64, 128, 256),
        "Upper bounds of the slices by document length, in words; a last slice contains "
        "longer documents.",
    )
    rouge_words: Literal["english", "unicode"] = setting(
        "english",
        "Words that ROUGE compares. 'english' is ROUGE as in publications: only a-z and "
        "0-9, Porter-stemmed. 'unicode' is for every other language: letters and digits of "
        "any script, case-folded, not stemmed; each Chinese or Japanese character is a "
        "word.",
    )

    @field_validator("length_bucket_words")
    @classmethod
    def _ascending(cls, bounds: tuple[int, ...]) -> tuple[int, ...]:
        if any(bound < 1 for bound in bounds) or list(bounds) != sorted(set(bounds)):
            raise ValueError("must be positive and ascending, such as [32, 64, 128]")
        return bounds
