"""When a blessed model becomes the champion. No registry and no TFX in here."""

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


@dataclass(frozen=True, slots=True)
class Rules:
    """What promotion takes.

    Attributes:
      metric: the one that decides, a name of the evaluation's; more is better.
      min_gain: it must be above the champion's by more than this.
      manual: whether a person has the last word.
      allow_tokenizer: fingerprint that may follow another one, or ``any``; empty for none.
      allow_contract: version of the counting contract that may follow another one, or
        ``any``; empty for none.
    """

    metric: str
    min_gain: float = 0.0
    manual: bool = False
    allow_tokenizer: str = ""
    allow_contract: str = ""


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of a version, and why in plain words.

    Attributes:
      outcome: ``challenger`` waits: for a person, or for nothing where it was not better.
        ``refused`` has no alias at all.
    """

    outcome: Outcome
    reason: str


def refusal(
    candidate: RegisteredVersion, champion: RegisteredVersion | None, rules: Rules
) -> str:
    """Why a version may not take the champion's place, better or not; empty if it may.

    A tokenizer is a price list, and the contract says what is on it: with another one the
    same text costs something else.
    """
    if champion is None:
        return ""
    for tag, what, allowed, setting in (
        (FINGERPRINT_TAG, "tokenizer", rules.allow_tokenizer, "allow_tokenizer"),
        (CONTRACT_TAG, "counting contract", rules.allow_contract, "allow_contract"),
    ):
        old, new = champion.tags.get(tag, ""), candidate.tags.get(tag, "")
        if old != new and allowed not in (ANY, new or ANY):
            return (
                f"Its {what} is not the champion's, so that the same text would cost something "
                f"else. Expected: {old}. Received: {new or 'none'}. To allow it, set "
                f'registry.{setting} = "{new or ANY}".'
            )
    return ""


def decide(
    candidate: RegisteredVersion,
    champion: RegisteredVersion | None,
    champion_metrics: Mapping[str, float],
    rules: Rules,
) -> Decision:
    """Decide on a version that every validator has blessed.

    Args:
      candidate: its metrics are of the test set.
      champion: None where there is none yet.
      champion_metrics: the champion's, of the same test set; without those that could not be
        measured.
    """
    if champion is not None and champion.number == candidate.number:
        return Decision("champion", "It is the champion already.")
    if reason := refusal(candidate, champion, rules):
        return Decision("refused", reason)
    if when := candidate.tags.get(ROLLED_BACK_TAG):
        return Decision(
            "refused",
            f"It was rolled back at {when}. `tallygraph registry promote` takes it still.",
        )
    approval = Decision(
        "challenger",
        f"It waits for approval: `tallygraph registry promote {candidate.number}`.",
    )
    if champion is None:
        if rules.manual:
            return approval
        return Decision("champion", "There was no champion.")
    received = candidate.metrics.get(rules.metric, math.nan)
    expected = champion_metrics.get(rules.metric, math.nan)
    compared = (
        f"Its {rules.metric} is {received:.4f}, that of the champion (version "
        f"{champion.number}) on the same test set {expected:.4f}; more than {rules.min_gain:g} "
        "above it is asked (registry.min_gain)."
    )
    if math.isnan(received) or math.isnan(expected):
        return Decision("challenger", f"It cannot be compared with the champion. {compared}")
    if not received - expected > rules.min_gain:
        return Decision("challenger", compared)
    if rules.manual:
        return Decision("challenger", f"{compared} {approval.reason}")
    return Decision("champion", compared)
