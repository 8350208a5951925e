"""When a blessed model becomes the champion, and where the aliases go."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.model_registry import RegistryError, moves
from components.model_registry.port import (
    CHALLENGER,
    CHAMPION,
    PREVIOUS,
    RegisteredVersion,
)
from components.promoter.rules import Comparison, Rules, decide

RULES = Rules(metric="rouge_l_f1", min_gain=0.01)


def version(number: int, rouge: float = 0.2, **tags: str) -> RegisteredVersion:
    known = {"tokenizer_fingerprint": "aa", "contract_version": "1"}
    return RegisteredVersion(
        "summarizer", number, f"/models/{number}", {"rouge_l_f1": rouge}, {**known, **tags}
    )


def test_the_first_one_is_the_champion_unless_a_person_decides() -> None:
    assert decide(version(1), None, {}, RULES).outcome == "champion"
    manual = decide(version(1), None, {}, Rules("rouge_l_f1", manual=True))
    assert manual.outcome == "challenger"
    assert "`tallygraph registry promote 1`" in manual.reason


@pytest.mark.parametrize(
    ("candidate", "champion", "outcome"),
    [
        (0.25, 0.2, "champion"),
        (0.205, 0.2, "challenger"),
        (0.2, 0.2, "challenger"),
        (0.1, 0.2, "challenger"),
        (math.nan, 0.2, "challenger"),
        (0.9, math.nan, "challenger"),
    ],
)
def test_a_better_one_is_the_champion(candidate: float, champion: float, outcome: str) -> None:
    # What the champion had on its own test set does not matter.
    decision = decide(
        version(2, candidate), version(1, rouge=0.99), {"rouge_l_f1": champion}, RULES
    )
    assert decision.outcome == outcome
    assert "registry.min_gain" in decision.reason


def test_a_decision_says_what_it_went_by() -> None:
    measured = {"rouge_l_f1": 0.2}
    decision = decide(version(4, 0.25), version(3), measured, RULES)
    assert (decision.refused_by, decision.champion_before) == ((), 3)
    assert decision.comparison == Comparison("rouge_l_f1", 0.25, 0.2, 0.01)
    assert decision.comparison.gain == pytest.approx(0.05)
    first = decide(version(1), None, {}, RULES)
    assert (first.refused_by, first.champion_before, first.comparison) == ((), None, None)
    waits = decide(version(4, 0.25), version(3), measured, Rules("rouge_l_f1", manual=True))
    assert waits.refused_by == ("approved by a person",)


def test_every_check_that_was_not_passed_is_named_and_the_first_is_the_reason() -> None:
    other = version(
        4, 0.1, tokenizer_fingerprint="bb", contract_version="2", rolled_back="then"
    )
    decision = decide(other, version(3), {"rouge_l_f1": 0.2}, RULES)
    assert decision.outcome == "refused"
    assert decision.refused_by == (
        "the champion's tokenizer",
        "the champion's counting contract",
        "not rolled back before",
        "better than the champion",
    )
    assert decision.reason.startswith("Its tokenizer is not the champion's")
    assert decision.comparison.gain == pytest.approx(-0.1)


def test_a_champion_that_could_not_be_measured_stays() -> None:
    decision = decide(version(2, 0.9), version(1, 0.1), {}, RULES)
    assert decision.outcome == "challenger"
    assert decision.reason.startswith("It cannot be compared")


def test_a_newer_one_may_be_a_little_worse_if_the_settings_say_so() -> None:
    rules = Rules("rouge_l_f1", min_gain=-0.05)
    for rouge, outcome in ((0.16, "champion"), (0.14, "challenger")):
        decision = decide(version(2, rouge), version(1), {"rouge_l_f1": 0.2}, rules)
        assert decision.outcome == outcome


@pytest.mark.parametrize("tag", ["tokenizer_fingerprint", "contract_version"])
def test_other_counts_are_refused_unless_named(tag: str) -> None:
    setting = {
        "tokenizer_fingerprint": "allow_tokenizer",
        "contract_version": "allow_contract",
    }[tag]
    better, champion = version(2, 0.9, **{tag: "bb"}), version(1)
    measured = {"rouge_l_f1": 0.2}

    def outcome(allowed: str) -> str:
        changed: dict[str, Any] = {setting: allowed}
        rules = Rules("rouge_l_f1", **changed)
        return decide(better, champion, measured, rules).outcome

    refused = decide(better, champion, measured, RULES)
    assert refused.outcome == "refused"
    assert f'registry.{setting} = "bb"' in refused.reason
    assert outcome("aa") == outcome("cc") == "refused"
    assert outcome("bb") == outcome("any") == "champion"


def test_a_version_without_a_fingerprint_is_refused_too() -> None:
    unknown = version(2, 0.9, tokenizer_fingerprint="")
    assert decide(unknown, version(1), {"rouge_l_f1": 0.1}, RULES).outcome == "refused"


def test_what_was_rolled_back_does_not_come_back_by_itself() -> None:
    bad = version(2, 0.9, rolled_back="2026-11-25T03:00:00+00:00")
    decision = decide(bad, version(1), {"rouge_l_f1": 0.1}, RULES)
    assert decision.outcome == "refused"
    assert "was rolled back at 2026-11-25" in decision.reason
    assert decide(bad, bad, {}, RULES).outcome == "champion"


actions = st.lists(
    st.tuples(st.sampled_from(["challenge", "promote", "roll_back"]), st.integers(1, 5)),
    max_size=30,
)


@given(actions)
def test_after_any_sequence_the_aliases_make_sense(sequence: list[tuple[str, int]]) -> None:
    aliases: dict[str, int] = {}
    for action, number in sequence:
        before = dict(aliases)
        if action == "roll_back":
            if PREVIOUS not in aliases:
                with pytest.raises(RegistryError, match="no previous version"):
                    moves.roll_back(aliases)
                continue
            aliases = moves.after(aliases, moves.roll_back(aliases))
            assert aliases[CHAMPION] == before[PREVIOUS]
            assert PREVIOUS not in aliases
        elif action == "promote":
            aliases = moves.after(aliases, moves.promote(aliases, number))
            assert aliases[CHAMPION] == number
            if before.get(CHAMPION) not in (None, number):
                assert aliases[PREVIOUS] == before[CHAMPION]
            if before.get(CHAMPION) == number:
                assert aliases == before
        else:
            aliases = moves.after(aliases, moves.challenge(aliases, number))
            assert aliases.get(CHAMPION) == before.get(CHAMPION)
            assert aliases.get(CHALLENGER, 0) >= before.get(CHALLENGER, 0)
        # Never none once there was one, and no version under two of them.
        assert CHAMPION in aliases or CHAMPION not in before
        assert aliases.get(PREVIOUS) != aliases.get(CHAMPION) or PREVIOUS not in aliases
