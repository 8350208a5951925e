"""Texts that fall into each width that is compiled."""

from __future__ import annotations

from itertools import pairwise

import pytest

from components.meter.shape_texts import CountIds, texts_by_width

DOCUMENTS = ["Return the name of a file.", "", "Counts that can be billed."]


def by_words(text: str) -> int:
    return len(text.split())


def by_bytes(text: str) -> int:
    return len(text.encode())


@pytest.mark.parametrize("count", [by_words, by_bytes])
@pytest.mark.parametrize("added", [1, 4])
def test_each_width_gets_a_text_that_is_padded_to_it(count: CountIds, added: int) -> None:
    widths = [8, 16, 64, 129]
    texts = texts_by_width(DOCUMENTS, widths, added, count)
    assert list(texts) == widths
    for narrower, width in pairwise([0, *widths]):
        assert narrower < count(texts[width]) + added <= width


def test_a_width_that_no_row_can_have_is_left_out() -> None:
    assert list(texts_by_width(DOCUMENTS, [2, 3, 16], 3, by_words)) == [3, 16]


def test_documents_without_ids_are_made_up_for() -> None:
    texts = texts_by_width([""], [4, 8], 1, by_words)
    assert list(texts) == [4, 8]
