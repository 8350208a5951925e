"""What promoting and rolling back make of a model's labels."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.rollout.labels import LabelError, labelled, promoted, rolled_back, unlabelled


def test_a_version_is_tried_promoted_and_rolled_back() -> None:
    labels = promoted({}, 1)
    assert labels == {"stable": 1}
    labels = labelled(labels, "canary", 2)
    assert labels == {"stable": 1, "canary": 2}
    labels = promoted(labels)
    assert labels == {"stable": 2, "previous": 1}
    labels = rolled_back(labels)
    assert labels == {"stable": 1}


def test_another_canary_stays_on_trial() -> None:
    labels = promoted({"stable": 1, "canary": 3, "team-b": 1}, 2)
    assert labels == {"stable": 2, "previous": 1, "canary": 3, "team-b": 1}


def test_rolling_forward_forgets_the_one_before_the_previous() -> None:
    assert promoted({"stable": 2, "previous": 1}, 3) == {"stable": 3, "previous": 2}
    assert promoted({"stable": 2, "previous": 1}, 1) == {"stable": 1, "previous": 2}


def test_taking_a_label_away() -> None:
    assert unlabelled({"stable": 1, "canary": 2}, "canary") == {"stable": 1}
    with pytest.raises(LabelError, match=r"no label 'x'. Existing labels: stable \(1\)\."):
        unlabelled({"stable": 1}, "x")
    with pytest.raises(LabelError, match="cannot be removed"):
        unlabelled({"stable": 1}, "stable")


@pytest.mark.parametrize("label", ["", "a b", "a/b", "a:predict", "-a", "a" * 101])
def test_a_label_must_fit_into_a_url(label: str) -> None:
    with pytest.raises(LabelError, match="A label must be at most 100"):
        labelled({}, label, 1)


@pytest.mark.parametrize("label", ["stable", "previous"])
def test_kept_labels_are_not_set_by_hand(label: str) -> None:
    with pytest.raises(LabelError, match="only by a promotion or a rollback"):
        labelled({}, label, 1)


def test_changes_that_make_no_sense() -> None:
    with pytest.raises(LabelError, match="is already the stable one"):
        promoted({"stable": 1}, 1)
    with pytest.raises(LabelError, match="no canary to promote"):
        promoted({"stable": 1})
    with pytest.raises(LabelError, match="no previous version to roll back to"):
        rolled_back({"stable": 1})


@given(st.lists(st.one_of(st.none(), st.integers(1, 4)), max_size=30))
def test_there_is_always_a_stable_version_and_a_way_back_from_each_promotion(
    changes: list[int | None],
) -> None:
    labels = promoted({}, 1)
    for version in changes:
        before = labels
        try:
            labels = rolled_back(labels) if version is None else promoted(labels, version)
        except LabelError:
            assert labels == before
            continue
        assert labels["stable"] != before["stable"]
        if version is not None:
            assert labels["stable"] == version
            assert rolled_back(labels)["stable"] == before["stable"]
