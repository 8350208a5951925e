"""A candidate is compared with the latest blessed model that is older than itself."""

from __future__ import annotations

from tfx.types import standard_artifacts
from tfx.types.artifact import Artifact

from components.champion import ChampionStrategy


def model(identifier: int) -> Artifact:
    artifact = standard_artifacts.Model()
    artifact.id = identifier
    return artifact


def blessing(identifier: int, of_model: int, blessed: bool) -> Artifact:
    artifact = standard_artifacts.ModelBlessing()
    artifact.id = identifier
    artifact.set_int_custom_property("current_model_id", of_model)
    artifact.set_int_custom_property("blessed", int(blessed))
    return artifact


def champion_id(models: list[int], blessings: list[Artifact], candidate: int) -> int | None:
    resolved = ChampionStrategy().resolve_artifacts(
        None,
        {
            "model": [model(identifier) for identifier in models],
            "model_blessing": blessings,
            "candidate": [model(candidate)],
        },
    )
    assert resolved is not None
    assert [artifact.id for artifact in resolved["candidate"]] == [candidate]
    return resolved["model"][0].id if resolved["model"] else None


def test_the_first_candidate_has_no_champion() -> None:
    assert champion_id([1, 2], [], candidate=2) is None


def test_a_second_run_of_the_first_model_still_has_no_champion() -> None:
    assert champion_id([1, 2], [blessing(9, of_model=2, blessed=True)], candidate=2) is None


def test_the_latest_blessed_older_model_is_the_champion() -> None:
    blessings = [
        blessing(20, of_model=2, blessed=True),
        blessing(21, of_model=5, blessed=True),
        blessing(22, of_model=7, blessed=False),
        blessing(23, of_model=9, blessed=True),
    ]
    assert champion_id([2, 5, 7, 9], blessings, candidate=8) == 5


def test_a_model_that_was_refused_is_no_champion() -> None:
    blessings = [blessing(20, of_model=2, blessed=False)]
    assert champion_id([2, 5], blessings, candidate=5) is None
