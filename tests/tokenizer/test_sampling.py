"""The sample of a corpus: bounded, and the same in any order."""

from __future__ import annotations

from collections import Counter
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from tokenizer.sampling import TextSample, _hash

TEXTS = st.lists(st.text(max_size=6), max_size=40)


@given(TEXTS, st.integers(1, 40), st.randoms(use_true_random=False))
def test_it_is_the_same_in_any_order(texts: list[str], most: int, random: Random) -> None:
    shuffled = list(texts)
    random.shuffle(shuffled)
    one, other = TextSample(most), TextSample(most)
    first, second = one.of(iter(texts)), other.of(shuffled)
    assert Counter(first) == Counter(second)
    if len(texts) > most:
        assert first == second
    assert (
        (one.seen, one.taken) == (len(texts), len(first)) == (len(texts), min(most, len(texts)))
    )


@given(TEXTS, st.integers(1, 40))
def test_it_holds_the_smallest_hashes_as_often_as_there_are_such_texts(
    texts: list[str], most: int
) -> None:
    expected = sorted(texts, key=lambda text: (_hash(text), text))[:most]
    assert Counter(map(_hash, TextSample(most).of(texts))) == Counter(map(_hash, expected))


@given(TEXTS)
def test_within_the_bound_nothing_changes(texts: list[str]) -> None:
    sample = TextSample(max(len(texts), 1))
    assert sample.of(texts) == texts
    assert sample.note() == ""


def test_the_hash_is_not_one_of_the_process() -> None:
    assert TextSample(3).of(f"text {i}" for i in range(2000)) == [
        "text 1429",
        "text 874",
        "text 1457",
    ]


def test_it_says_what_it_took() -> None:
    sample = TextSample(1500)
    sample.of(str(i) for i in range(2000))
    assert sample.note() == "1,500 of 2,000 sentences"


def test_a_lone_surrogate_is_a_text_like_any_other() -> None:
    assert TextSample(1).of(["\ud800", "\ud800"]) == ["\ud800"]
