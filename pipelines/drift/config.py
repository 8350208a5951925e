"""The ``[drift]`` section: how far new spans may be from the champion's, and what then."""

from __future__ import annotations

from typing import Literal

from pydantic.dataclasses import dataclass

from pipelines.setting import STRICT, setting


@dataclass(frozen=True, config=STRICT)
class DriftConfig:
    """Comparison of the texts of `--span` with those that the registry's champion was trained
    on."""

    action: Literal["off", "report", "stop", "retrain"] = setting(
        "report",
        "What happens on drift. 'off' does not compare the texts, 'report' only reports "
        "it, 'stop' ends the run; 'retrain' starts from random weights if model.init_from "
        "is the champion, and keeps its tokenizer.",
    )
    max_length_divergence: float = setting(
        0.1,
        "Maximum Kolmogorov-Smirnov distance of the lengths in tokens, of documents and of "
        "summaries, and of tokens per byte: the largest difference of the shares below any "
        "length, 0 for the same distribution, 1 for nothing in common. Distances that chance "
        "explains with so many documents are never drift.",
        gt=0,
        le=1,
    )
    max_token_divergence: float = setting(
        0.1,
        "Maximum Jensen-Shannon divergence of how often each token is used, in bits; as above, "
        "what chance explains is never drift.",
        gt=0,
        le=1,
    )
    max_unknown_gain: float = setting(
        0.01,
        "Maximum increase of the share of tokens that the vocabulary does not know.",
        ge=0,
        le=1,
    )
    min_documents: int = setting(
        200,
        "With fewer documents on either side, distributions differ by chance: they are "
        "measured, but do not count as drift.",
        ge=1,
    )
    max_documents: int = setting(
        20_000, "Maximum number of documents on each side that are compared.", ge=100
    )
