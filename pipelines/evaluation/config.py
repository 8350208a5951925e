"""The ``[evaluation]`` section: how much is evaluated and what a blessing takes."""

from __future__ import annotations

from typing import Literal

from pydantic import field_validator
from pydantic.dataclasses import dataclass

from pipelines.setting import STRICT, setting


@dataclass(frozen=True, config=STRICT)
class EvaluationConfig:
    """What the metered model must reach to be pushed. The defaults refuse a collapsed one."""

    min_rouge_l: float = setting(
        0.1, "Least mean ROUGE-L F1 against the references.", ge=0, le=1
    )
    min_lift_over_baseline_rouge_l: float = setting(
        0.0,
        "Least lead in mean ROUGE-L F1 over the trivial baseline, the document's first "
        "sentence; negative allows a model that is worse than that.",
        ge=-1,
        le=1,
    )
    max_share_repeated: float = setting(
        0.15,
        "Most of a summary, on average, that may repeat itself: word pairs, or five letters in "
        "a row, that it had written before. Real summaries have about 0.02; a model in a loop "
        "has 0.3 and more.",
        ge=0,
        le=1,
    )
    min_share_distinct: float = setting(
        0.5,
        "Least number of different summaries per example. A model that answers every text "
        "alike is near 0. Where the references themselves repeat, ask for less.",
        ge=0,
        le=1,
    )
    max_share_length: float = setting(
        1.0, "Most summaries that the output limit cut off (1: any share).", ge=0, le=1
    )
    max_share_empty: float = setting(
        0.05, "Most summaries without a single word (1: any share).", ge=0, le=1
    )
    max_rouge_l_drop_vs_champion: float = setting(
        0.02,
        "How far mean ROUGE-L F1 may fall below that of the latest blessed model on the same "
        "examples; not checked where there is none.",
        ge=0,
        le=1,
    )
    max_examples: int = setting(
        2000,
        "At most so many examples of the eval split are evaluated, the same ones in every "
        "run (those whose hashes are smallest).",
        ge=1,
        le=1_000_000,
    )
    batch_size: int = setting(32, "Rows per call of the model.", ge=1, le=4096)
    max_sources: int = setting(
        12,
        "At most so many sources get a slice of their own, the largest; the rest is the "
        "slice 'other sources'.",
        ge=0,
        le=1000,
    )
    min_examples_per_slice: int = setting(
        30,
        "A source with fewer examples counts as 'other sources'; a slice with fewer is left "
        "out of the report.",
        ge=1,
    )
    length_bucket_words: tuple[int, ...] = setting(
        (32, 64, 128, 256),
        "Upper bounds of the slices by document length, in words; a last slice holds what is "
        "longer.",
    )
    rouge_words: Literal["english", "unicode"] = setting(
        "english",
        "What ROUGE compares. 'english' is the ROUGE of publications: a-z and 0-9 only, "
        "Porter-stemmed. 'unicode' is for every other language: letters and digits of any "
        "script, case folded, not stemmed; each Chinese or Japanese character is a word.",
    )

    @field_validator("length_bucket_words")
    @classmethod
    def _ascending(cls, bounds: tuple[int, ...]) -> tuple[int, ...]:
        if any(bound < 1 for bound in bounds) or list(bounds) != sorted(set(bounds)):
            raise ValueError("must be positive and ascending, such as [32, 64, 128]")
        return bounds
