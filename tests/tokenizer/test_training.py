from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenizer.base import TokenizerError
from tokenizer.sampling import TextSample
from tokenizer.sentencepiece_tokenizer import SentencePieceTokenizer
from tokenizer.training import split_text, train_sentencepiece


def test_the_same_texts_give_the_same_bytes(
    sentencepiece_tokenizer: SentencePieceTokenizer, corpus: list[str]
) -> None:
    again = train_sentencepiece(iter(corpus), vocab_size=400)
    assert again.files() == sentencepiece_tokenizer.files()
    assert again.fingerprint == (
        "489530d6baee242d0e77c7703f0059ae1ca02721979b8b259aaf6dbfe72e0177"
    )


def test_a_corpus_with_little_variety_gives_fewer_ids_than_asked_for(corpus: list[str]) -> None:
    assert train_sentencepiece(corpus[:3], vocab_size=4000).vocabulary_size < 400


@pytest.mark.parametrize("texts", [[], [""], [" ", "\n\t", "\u200b", "\0", "▁", "▅"]])
def test_a_corpus_without_text_is_an_error_and_not_the_end_of_the_process(
    texts: list[str],
) -> None:
    with pytest.raises(TokenizerError, match="no text to train a vocabulary on"):
        train_sentencepiece(texts, vocab_size=400)


def test_one_character_is_enough() -> None:
    tokenizer = train_sentencepiece(["a"], vocab_size=400)
    assert tokenizer.decode(tokenizer.encode("a 本")) == "a 本"


def test_a_vocabulary_too_small_for_the_corpus_is_told_the_size_it_needs(
    corpus: list[str],
) -> None:
    with pytest.raises(TokenizerError, match=r"Expected: vocab_size of 298 or more.*: 260"):
        train_sentencepiece(corpus, vocab_size=260)
    assert train_sentencepiece(corpus, vocab_size=298).vocabulary_size == 298


@pytest.mark.parametrize("text", ["alpha\0beta", "alpha ▅ beta", "alpha beta " * 1000])
def test_text_that_the_library_would_leave_out_is_learned(text: str) -> None:
    tokenizer = train_sentencepiece(["other", text], vocab_size=300)
    pieces = {tokenizer.decode([i]) for i in range(259, tokenizer.vocabulary_size)}
    assert set("alphabet") <= set("".join(pieces))


def test_an_unknown_script_is_spelt_in_bytes_and_counted(
    sentencepiece_tokenizer: SentencePieceTokenizer,
) -> None:
    tokenizer = sentencepiece_tokenizer
    text = "漢" * 1000
    assert tokenizer.count(text) == 1 + 3 * 1000
    assert tokenizer.unk_id not in tokenizer.encode(text)
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_a_large_corpus_is_sampled_alike_in_any_order(corpus: list[str]) -> None:
    long = [f"{i} {text}" for i in range(5) for text in corpus]
    sample = TextSample(20)
    first = train_sentencepiece(long, 400, sample)
    assert (sample.taken, sample.seen) == (20, len(long))
    assert first.fingerprint == train_sentencepiece(long[::-1], 400, sample).fingerprint
    assert first.fingerprint != train_sentencepiece(long, 400).fingerprint


def test_a_corpus_within_the_bound_is_trained_on_as_it_stands(
    sentencepiece_tokenizer: SentencePieceTokenizer, corpus: list[str]
) -> None:
    sample = TextSample(len(corpus))
    again = train_sentencepiece(corpus, 400, sample)
    assert sample.note() == ""
    assert again.files() == sentencepiece_tokenizer.files()


@given(st.text(st.sampled_from("ab \n"), max_size=60), st.integers(1, 12))
def test_splitting_keeps_every_character_but_the_white_space_of_a_cut(
    text: str, limit: int
) -> None:
    chunks = list(split_text(text, limit))
    assert all(0 < len(chunk) <= limit for chunk in chunks)
    assert "".join("".join(chunks).split()) == "".join(text.split())
    assert (chunks == [text]) == (0 < len(text) <= limit)


def test_words_are_cut_only_where_they_do_not_fit() -> None:
    assert list(split_text("one two three", 7)) == ["one two", "three"]
    assert list(split_text("one two\nthree", 5)) == ["one", "two", "three"]
    assert list(split_text("abcdefgh ij", 3)) == ["abc", "def", "gh", "ij"]
