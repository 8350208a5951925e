"""Decides when a blessed model becomes the champion. No registry and no TFX in here."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from components.model_registry.port import RegisteredVersion

# Tags of a registered version that the rules go by.
FINGERPRINT_TAG: Final = "tokenizer_fingerprint"
CONTRACT_TAG: Final = "contract_version"
ROLLED_BACK_TAG: Final = "rolled_back"

ANY: Final = "any"
MANUAL: Final = "manual"

Outcome = Literal["champion", "challenger", "refused"]

# Checks that can keep a version from becoming the champion, besides what may not change.
ROLLED_BACK: Final = "not rolled back before"
GAIN: Final = "better than the champion"
APPROVAL: Final = "approved by a person"


@dataclass(frozen=True, slots=True)
class Rules:
    """The conditions for promotion.

    Attributes:
      metric: name of the evaluation's metric that decides; higher values are better.
      min_gain: the metric must exceed the champion's by more than this.
      manual: whether a person has the last word.
      allow_tokenizer: fingerprint that may replace another one, or ``any``; empty for none.
      allow_contract: version of the counting contract that may replace another one, or
        ``any``; empty for none.
    """

    metric: str
    min_gain: float = 0.0
    manual: bool = False
    allow_tokenizer: str = ""
    allow_contract: str = ""


@dataclass(frozen=True, slots=True)
class Comparison:
    """A comparison of a version with the champion on one test set.

    Attributes:
      metric: name of the metric.
      candidate, champion: the metric's values; None if it could not be computed.
      min_gain: the candidate must exceed the champion by more than this.
    """

    metric: str
    candidate: float | None
    champion: float | None
    min_gain: float

    @property
    def gain(self) -> float | None:
        """The candidate's lead over the champion; None if one of the values is missing."""
        if self.candidate is None or self.champion is None:
            return None
        return self.candidate - self.champion

    @property
    def reached(self) -> bool:
        """Whether the candidate leads by more than the margin."""
        return self.gain is not None and self.gain > self.min_gain

    def in_words(self, champion: int) -> str:
        """Return the comparison with a version as a sentence."""
        received = "not known" if self.candidate is None else f"{self.candidate:.4f}"
        expected = "not known" if self.champion is None else f"{self.champion:.4f}"
        compared = (
            f"Its {self.metric} is {received}; that of the champion (version {champion}) on "
            f"the same test set is {expected}. It must exceed the champion's by more than "
            f"{self.min_gain:g} (registry.min_gain)."
        )
        if self.gain is None:
            return f"It cannot be compared with the champion. {compared}"
        return compared


@dataclass(frozen=True, slots=True)
class Decision:
    """The decision on a version, and its reason in plain words.

    Attributes:
      outcome: a ``challenger`` waits for a person, or is not better than the champion. A
        ``refused`` version has no alias.
      reason: the first reason for the refusal, or why it is the champion.
      refused_by: names of all checks that it did not pass, in order.
      comparison: with the champion; None if there was none, or it is the same version.
      champion_before: the champion's number at the time of the decision; None if there was
          none.
    """

    outcome: Outcome
    reason: str
    refused_by: tuple[str, ...] = ()
    comparison: Comparison | None = None
    champion_before: int | None = None


def refusal(
    candidate: RegisteredVersion, champion: RegisteredVersion | None, rules: Rules
) -> str:
    """Return why a version must not become the champion, even if better; empty if it may."""
    return next(iter(_other_counts(candidate, champion, rules).values()), "")


def _other_counts(
    candidate: RegisteredVersion, champion: RegisteredVersion | None, rules: Rules
) -> dict[str, str]:
    """What of a version's counts may not differ from the champion's and does, and why not.

    A tokenizer is a price list, and the contract says what is on it: with another one the
    same text costs something else.
    """
    if champion is None:
        return {}
    reasons = {}
    for tag, what, allowed, setting in (
        (FINGERPRINT_TAG, "tokenizer", rules.allow_tokenizer, "allow_tokenizer"),
        (CONTRACT_TAG, "counting contract", rules.allow_contract, "allow_contract"),
    ):
        old, new = champion.tags.get(tag, ""), candidate.tags.get(tag, "")
        if old != new and allowed not in (ANY, new or ANY):
            reasons[f"the champion's {what}"] = (
                f"Its {what} is not the champion's, so the same text would cost a different "
                f"amount. Expected: {old}. Received: {new or 'none'}. To allow it, set "
                f'registry.{setting} = "{new or ANY}".'
            )
    return reasons


def decide(
    candidate: RegisteredVersion,
    champion: RegisteredVersion | None,
    champion_metrics: Mapping[str, float],
    rules: Rules,
) -> Decision:
    """Decide on a version that every validator has blessed.

    Args:
      candidate: the version, with metrics of the test set.
      champion: the current champion; None if there is none yet.
      champion_metrics: the champion's metrics on the same test set, without those that could
        not be computed.
    """
    if champion is not None and champion.number == candidate.number:
        return Decision(
            "champion", "It is the champion already.", champion_before=champion.number
        )
    refused = _other_counts(candidate, champion, rules)
    if when := candidate.tags.get(ROLLED_BACK_TAG):
        refused[ROLLED_BACK] = (
            f"It was rolled back at {when}. It can still be promoted with `tallygraph "
            "registry promote`."
        )
    without_alias = bool(refused)
    comparison, compared = None, ""
    if champion is not None:
        comparison = Comparison(
            rules.metric,
            _known(candidate.metrics.get(rules.metric)),
            _known(champion_metrics.get(rules.metric)),
            rules.min_gain,
        )
        compared = comparison.in_words(champion.number)
        if not comparison.reached:
            refused[GAIN] = compared
    if rules.manual and not refused:
        approval = f"It waits for approval: `tallygraph registry promote {candidate.number}`."
        refused[APPROVAL] = f"{compared} {approval}".lstrip()
    outcome: Outcome = "champion"
    if refused:
        outcome = "refused" if without_alias else "challenger"
    return Decision(
        outcome,
        next(iter(refused.values()), compared or "There was no champion."),
        tuple(refused),
        comparison,
        champion.number if champion is not None else None,
    )


def _known(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
