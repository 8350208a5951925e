from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.evaluation.scores import Answer, Scorer, share_repeated

ANSWER = Answer(
    id="1",
    source="numpy",
    document="Return the sum of the values. An empty array gives zero.",
    reference="Sum the values of an array",
    summary="Sum the values",
    input_tokens=14,
    output_tokens=3,
    truncated_tokens=0,
    finish_reason="stop",
)
ENGLISH = Scorer("english")


def test_scores_the_summary_and_the_first_sentence() -> None:
    score = ENGLISH.score(ANSWER)

    # 3 of 3 words, 2 of 2 pairs; of 6 words and 5 pairs.
    assert score.rouge == pytest.approx((2 / 3, 4 / 7, 2 / 3))
    # "return the sum of the value" against "sum the valu of an arrai": sum, the, of, value
    # of 6 and 6; no pair but "the value"; in order "sum the value" or "sum of".
    assert score.baseline == pytest.approx((4 / 6, 1 / 5, 3 / 6))


def test_scores_flags() -> None:
    score = ENGLISH.score(ANSWER)
    assert not (score.truncated or score.ended_by_length or score.empty)

    cut = replace(ANSWER, truncated_tokens=2, finish_reason="length", summary=" .. ")
    score = ENGLISH.score(cut)
    assert score.truncated and score.ended_by_length and score.empty
    assert score.rouge == (0.0, 0.0, 0.0)


def test_tells_different_summaries_apart_but_for_white_space_at_the_ends() -> None:
    one, same, other = (
        ENGLISH.score(replace(ANSWER, summary=text)).summary_hash
        for text in ("An answer", " An answer\n", "an answer")
    )
    assert one == same != other


def test_english_rouge_sees_nothing_of_another_script_and_unicode_rouge_does() -> None:
    russian = replace(ANSWER, reference="Сумма значений", summary="сумма ЗНАЧЕНИЙ")
    assert ENGLISH.score(russian).rouge == (0.0, 0.0, 0.0)
    assert Scorer("unicode").score(russian).rouge == (1.0, 1.0, 1.0)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # Three pairs, one different; 11 stretches of five characters, 4 different.
        ("the the the the", 2 / 3),
        ("A value of a value, of a value.", 4 / 7),
        # A loop inside a word: 16 stretches, 8 different.
        ("Copy thehehehehehehe", 0.5),
        ("Return the sum of all values", 0.0),
        ("two words", 0.0),
        ("日本日本日本", 3 / 5),
        ("", 0.0),
    ],
)
def test_share_repeated(text: str, expected: float) -> None:
    assert share_repeated(text) == pytest.approx(expected)


def test_a_long_honest_text_is_not_taken_for_a_loop() -> None:
    news = (
        "The city council voted on Tuesday to close the old bridge for two years. Engineers "
        "had found cracks in three of its piers last spring, and repairs would have cost more "
        "than a new crossing further north. Traders on both banks fear for their customers; "
        "the mayor promised a free ferry for as long as the works last. Building is to begin "
        "in March, once the council has heard the traders again."
    )
    assert share_repeated(news) < 0.05
    assert share_repeated(news + " " + news) > 0.45


@given(st.text())
def test_share_repeated_is_a_share(text: str) -> None:
    assert 0 <= share_repeated(text) < 1


@given(st.text(), st.text())
def test_rouge_is_a_share_and_1_for_the_reference_itself(reference: str, summary: str) -> None:
    assert all(0 <= value <= 1 for value in ENGLISH.rouge(reference, summary))
    assert ENGLISH.rouge("a b " + reference, "a b " + reference) == pytest.approx((1, 1, 1))


def test_a_document_without_a_full_stop_is_scored_in_bounded_time() -> None:
    endless = "word " * 200_000
    assert ENGLISH.score(replace(ANSWER, document=endless)).baseline == (0.0, 0.0, 0.0)
