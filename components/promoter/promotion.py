"""Registers a model once, and moves the aliases as the rules decide."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

from components.model_registry import moves
from components.model_registry.port import CHAMPION, ModelRegistry, RegisteredVersion
from components.promoter.rules import ROLLED_BACK_TAG, Decision, Rules, decide, refusal

DIGEST_TAG: Final = "model_sha256"
DECISION_TAG: Final = "decision"
REASON_TAG: Final = "reason"
PROMOTED_TAG: Final = "promoted"
BY_HAND_TAG: Final = "moved_by_hand"

Measure = Callable[[RegisteredVersion], Mapping[str, float]]
"""The metrics of the champion on the candidate's test set; none if it cannot be measured."""


class PromotionRefusedError(ValueError):
    """A version must not become the champion; the message says why."""


@dataclass(frozen=True)
class Candidate:
    """A model that every validator has blessed.

    Attributes:
      uri: its folder.
      digest: of its bytes; the same model is registered once.
      metrics: of the test set.
      tags: where it comes from.
    """

    uri: str
    digest: str
    metrics: Mapping[str, float]
    tags: Mapping[str, str]


def consider(
    registry: ModelRegistry, name: str, candidate: Candidate, rules: Rules, measure: Measure
) -> tuple[RegisteredVersion, Decision]:
    """Register a candidate, decide, and move the aliases.

    The champion is evaluated before the registry is locked, because that may take minutes, and
    evaluated again if it has changed by then.

    Raises:
      RegistryError: the registry failed. Calling again completes the unfinished change.
    """
    while True:
        champion = registry.by_alias(name, CHAMPION)
        known = _registered(registry, name, candidate.digest)
        measurable = champion is not None and champion.number != (known and known.number)
        measured = measure(champion) if champion is not None and measurable else {}
        with registry.exclusive(name):
            now = registry.by_alias(name, CHAMPION)
            if _number(now) != _number(champion):
                continue
            version = _registered(registry, name, candidate.digest) or registry.register(
                name,
                candidate.uri,
                candidate.metrics,
                {**candidate.tags, DIGEST_TAG: candidate.digest},
            )
            # Of this test set, should the version be known from another one.
            version = replace(version, metrics=candidate.metrics)
            decision = decide(version, champion, measured, rules)
            registry.set_tags(
                name,
                version.number,
                {DECISION_TAG: decision.outcome, REASON_TAG: decision.reason},
            )
            if decision.outcome == "champion":
                _make_champion(registry, name, version.number)
            elif decision.outcome == "challenger":
                _move(
                    registry, name, moves.challenge(aliases_of(registry, name), version.number)
                )
            return registry.version(name, version.number), decision


def promote(
    registry: ModelRegistry,
    name: str,
    number: int,
    rules: Rules,
    publish: Callable[[RegisteredVersion], None],
) -> RegisteredVersion:
    """Make a version the champion on a person's request.

    Args:
      rules: only those about the tokenizer and the contract apply; it need not be better.
      publish: publishes the version for serving, before it becomes the champion, so that after
        a failure a second call does what is missing.

    Raises:
      RegistryError: there is no such version, or the registry failed.
      PromotionRefusedError: its tokenizer or contract is not the champion's.
    """
    with registry.exclusive(name):
        version = registry.version(name, number)
        if reason := refusal(version, registry.by_alias(name, CHAMPION), rules):
            raise PromotionRefusedError(f"Version {number} of {name} is not promoted. {reason}")
        publish(version)
        registry.set_tags(
            name,
            number,
            {
                DECISION_TAG: "champion",
                REASON_TAG: "It was promoted by hand.",
                ROLLED_BACK_TAG: "",
                BY_HAND_TAG: _now(),
            },
        )
        _make_champion(registry, name, number)
        return registry.version(name, number)


def roll_back(
    registry: ModelRegistry, name: str, publish: Callable[[RegisteredVersion], None]
) -> tuple[RegisteredVersion, RegisteredVersion]:
    """Make the previous version the champion again.

    Args:
      publish: makes the previous version the served one before the registry changes, so that
        after a failure a second call does what is missing.

    Returns:
      The old champion and the new one.

    Raises:
      RegistryError: there is no previous version, or the registry failed.
    """
    with registry.exclusive(name):
        aliases = aliases_of(registry, name)
        wanted = moves.roll_back(aliases)
        was = registry.version(name, aliases[CHAMPION])
        target = registry.version(name, wanted[CHAMPION] or 0)
        publish(target)
        registry.set_tags(
            name,
            was.number,
            {
                ROLLED_BACK_TAG: _now(),
                DECISION_TAG: "rolled back",
                REASON_TAG: "It was rolled back by hand.",
                BY_HAND_TAG: _now(),
            },
        )
        _move(registry, name, wanted)
        return registry.version(name, was.number), registry.version(name, target.number)


def aliases_of(registry: ModelRegistry, name: str) -> dict[str, int]:
    """Return the version that each alias points at."""
    return {
        alias: version.number
        for version in registry.versions(name)
        for alias in version.aliases
    }


def moved_by_hand(registry: ModelRegistry, name: str) -> str:
    """Return which aliases people have moved, and when: a text that changes with every such
    move."""
    return ", ".join(
        f"{version.number} at {version.tags[BY_HAND_TAG]}"
        for version in registry.versions(name)
        if version.tags.get(BY_HAND_TAG)
    )


def _make_champion(registry: ModelRegistry, name: str, number: int) -> None:
    moved = _move(registry, name, moves.promote(aliases_of(registry, name), number))
    if moved:
        registry.set_tags(name, number, {PROMOTED_TAG: _now()})


def _move(registry: ModelRegistry, name: str, wanted: moves.Moves) -> bool:
    if wanted:
        registry.set_aliases(name, wanted)
    return bool(wanted)


def _registered(registry: ModelRegistry, name: str, digest: str) -> RegisteredVersion | None:
    for version in registry.versions(name):
        if version.tags.get(DIGEST_TAG) == digest:
            return version
    return None


def _number(version: RegisteredVersion | None) -> int | None:
    return version.number if version else None


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
