"""What is drafted: the ids that followed a row's last ids before."""

from __future__ import annotations

from typing import Any

import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from pipelines.models.architecture import Architecture
from pipelines.models.drafts import Draft, draft_ids
from pipelines.models.next_id_rules import Written

PAD, EOS, COUNT = 0, 1, 3
PREFIX = (5, 6)
LIMIT = 10
ids = st.integers(2, 6)


def architecture(**settings: Any) -> Architecture:
    return Architecture(
        **{
            "family": "bart",
            "vocabulary_size": 64,
            "d_model": 8,
            "num_layers": 1,
            "num_heads": 1,
            "d_ff": 8,
            "max_input_tokens": 12,
            "max_output_tokens": LIMIT,
            "prefix_ids": PREFIX,
            **settings,
        }
    )


def drafted(
    rows: list[tuple[list[int], list[int]]], model: Architecture | None = None
) -> list[list[int]]:
    """Drafts of rows, each its input's ids and what it has written."""
    found: list[list[int]] = draft_of(rows, model).ids.numpy().tolist()
    return found


def draft_of(
    rows: list[tuple[list[int], list[int]]], model: Architecture | None = None
) -> Draft:
    model = model or architecture()
    packed = [[*PREFIX, *document, EOS] for document, _ in rows]
    width = max(map(len, packed))
    written = [[model.decoder_start_id, *own] for _, own in rows]
    return draft_ids(
        tf.constant([row + [PAD] * (width - len(row)) for row in packed]),
        tf.constant([len(row) for row in packed]),
        Written(
            tf.constant([row + [PAD] * (LIMIT + 1 - len(row)) for row in written]),
            tf.constant([len(own) for _, own in rows]),
        ),
        COUNT,
        model,
    )


@pytest.mark.parametrize(
    ("document", "written", "expected"),
    [
        pytest.param([10, 11, 12, 13], [], [10, 11, 12], id="begins as the input does"),
        pytest.param([10, 11, 12, 13, 14], [11], [12, 13, 14], id="one id"),
        pytest.param([9, 8, 11, 9, 7, 11, 3, 3], [7, 11], [3, 3, EOS], id="two before one"),
        pytest.param(
            [8, 11, 20, 7, 8, 11, 21, 22, 23],
            [30, 7, 8, 11],
            [21, 22, 23],
            id="three before two",
        ),
        pytest.param([7, 20, 21, 22, 7, 30, 31, 32], [7], [20, 21, 22], id="the first of two"),
        pytest.param([10], [20, 21, 22, 23, 20, 21], [22, 23, 20], id="what it has written"),
        pytest.param([20, 9, 9], [21, 20], [9, 9, EOS], id="the input before what is written"),
        pytest.param([10, 9], [9], [EOS, PAD, 9], id="to the end of the input, and on"),
    ],
)
def test_a_draft_is_what_followed_the_longest_suffix(
    document: list[int], written: list[int], expected: list[int]
) -> None:
    assert drafted([(document, written)]) == [expected]


def test_a_forced_start_is_no_beginning() -> None:
    model = architecture(forced_bos_id=3)
    assert drafted([([10, 11, 12], [3])], model) == [[10, 11, 12]]
    assert drafted([([10, 11, 12, 13], [3, 10])], model) == [[11, 12, 13]]


def test_a_draft_is_likely_at_the_beginning_and_where_two_ids_were_found() -> None:
    document = [10, 11, 12, 13, 10, 14]
    rows = [[], [10], [9, 11], [10, 11], [9, 10, 14], [8, 9, 8, 9], [14, EOS], [8, 9]]
    # Behind the input's EOS, and what was written last, there is nothing.
    likely = [True, False, False, True, True, True, False, False]
    assert draft_of([(document, own) for own in rows]).likely.numpy().tolist() == likely


def expected_start(packed: list[int], own: list[int]) -> int | None:
    """Where what follows begins, in the input and then what is written; None for nowhere."""
    source = packed + own
    ends = [*range(len(packed) - 1), *range(len(packed), len(source) - 1)]
    for size in range(min(3, len(own)), 0, -1):
        for end in ends:
            if end + 1 >= size and source[end + 1 - size : end + 1] == source[-size:]:
                return end + 1
    return None


ROW = st.tuples(st.lists(ids, max_size=12), st.lists(ids, min_size=1, max_size=LIMIT))


@given(st.lists(ROW, min_size=1, max_size=4))
def test_each_row_drafts_from_its_own_ids(rows: list[tuple[list[int], list[int]]]) -> None:
    for (document, written), draft in zip(rows, drafted(rows), strict=True):
        packed = [*PREFIX, *document, EOS]
        own = [architecture().decoder_start_id, *written]
        start = expected_start(packed, own)
        if start is not None:
            known = packed[start:] if start < len(packed) else own[start - len(packed) :]
            assert draft[: len(known)] == known[:COUNT]
