"""What a summary has from its document, and what it has not."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.report.copied import Passage, passages
from tests.support.sizes import sized

DOCUMENT = "The file is opened lazily, when the first record is read from it, and closed again."


def copied(document: str, summary: str) -> list[str]:
    return [each.text for each in passages(document, summary) if each.copied]


@pytest.mark.parametrize(
    ("summary", "expected"),
    [
        ("Read the first record.", ["the first record"]),
        ("Say when the first record is.", ["when the first record is"]),
        ("the FILE, is opened", ["the FILE, is opened"]),
        ("Is read from it and opened lazily.", ["Is read from it and"]),
        ("is opened", []),
        ("", []),
        ("…", []),
        # Two passages of the document, one behind the other in the summary.
        ("file is opened read from it", ["file is opened", "read from it"]),
    ],
)
def test_three_words_in_a_row_are_copied(summary: str, expected: list[str]) -> None:
    assert copied(DOCUMENT, summary) == expected


def test_the_longest_run_is_taken_not_the_first() -> None:
    assert copied("a b c x. a b c d e.", "a b c d e f") == ["a b c d e"]


def test_runs_that_overlap_are_told_apart() -> None:
    assert passages("a b c d, then c d e", "a b c d e!") == (
        Passage("a b c d", True),
        Passage(" ", False),
        Passage("e", True),
        Passage("!", False),
    )


@settings(max_examples=sized(50, 500))
@given(
    st.text("ab .<é\n", max_size=30),
    st.text("ab .<é\n", max_size=30),
)
def test_the_passages_make_up_the_summary_as_it_is_written(document: str, summary: str) -> None:
    cut = passages(document, summary)
    assert "".join(each.text for each in cut) == summary
    assert all(each.text for each in cut)


def test_a_text_between_two_passages_is_one() -> None:
    summary = "Return when the first record is read, and close the file again."
    assert [each.text for each in passages(DOCUMENT, summary)] == [
        "Return ",
        "when the first record is read",
        ", and close the file again.",
    ]


def test_case_is_no_difference() -> None:
    assert copied(DOCUMENT, "Straße dort oben") == []
    assert copied("STRASSE dort oben", "straße dort oben") == ["straße dort oben"]


TEXT = st.lists(st.sampled_from("abc"), max_size=14).map(" ".join)


@settings(max_examples=sized(50, 500))
@given(TEXT, TEXT)
def test_what_is_marked_is_what_three_words_of_the_document_cover(
    document: str, summary: str
) -> None:
    """By looking at every three words of the summary, in the slow way."""
    words = summary.split()
    covered = set()
    for first in range(len(words) - 2):
        if f" {' '.join(words[first : first + 3])} " in f" {document} ":
            covered |= {first, first + 1, first + 2}
    marked = " ".join(
        " ".join("x" if each.copied else word for word in each.text.split())
        for each in passages(document, summary)
        if each.text.split()
    )
    expected = " ".join("x" if i in covered else word for i, word in enumerate(words))
    assert marked == expected
    assert "".join(each.text for each in passages(document, summary)) == summary
