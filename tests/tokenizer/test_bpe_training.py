from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tokenizer.base import TokenizerError
from tokenizer.bpe_tokenizer import BytePairTokenizer
from tokenizer.bpe_training import SMALLEST_VOCABULARY, train_byte_level_bpe
from tokenizer.sampling import TextSample


def test_the_same_texts_give_the_same_bytes(
    byte_level_bpe_tokenizer: BytePairTokenizer, corpus: list[str]
) -> None:
    again = train_byte_level_bpe(iter(corpus), vocab_size=400)
    assert again.files() == byte_level_bpe_tokenizer.files()
    assert again.fingerprint == (
        "1c390f11c3352ed6b102f3d3898672b762f900ad04808ffb523c96a92d154da3"
    )


def test_ids_are_special_ones_then_bytes_then_merges_in_their_order(
    byte_level_bpe_tokenizer: BytePairTokenizer,
) -> None:
    files = byte_level_bpe_tokenizer.files()
    pieces = list(json.loads(files["vocab.json"]))
    assert pieces[:4] == ["<s>", "<pad>", "</s>", "<unk>"]
    assert all(len(piece) == 1 for piece in pieces[4:260])
    merges = files["merges.txt"].decode().splitlines()
    assert merges[0] == "#version: 0.2"
    assert ["".join(merge.split(" ")) for merge in merges[1:]] == pieces[260:]


@pytest.mark.parametrize("texts", [[], [""], [" ", "\n\t", "\u3000"]])
def test_a_corpus_without_text_is_an_error(texts: list[str]) -> None:
    with pytest.raises(TokenizerError, match="no text to train a vocabulary on"):
        train_byte_level_bpe(texts, vocab_size=400)


def test_a_vocabulary_without_room_for_the_bytes_is_told_the_size_it_needs(
    corpus: list[str],
) -> None:
    with pytest.raises(TokenizerError, match=r"Expected: vocab_size of 260 or more.*: 259"):
        train_byte_level_bpe(corpus, vocab_size=SMALLEST_VOCABULARY - 1)
    smallest = train_byte_level_bpe(corpus, vocab_size=SMALLEST_VOCABULARY)
    assert smallest.vocabulary_size == SMALLEST_VOCABULARY
    assert smallest.count("naïve") == len("naïve".encode())


def test_a_corpus_with_little_variety_gives_fewer_ids_than_asked_for() -> None:
    assert train_byte_level_bpe(["once and once"], vocab_size=4000).vocabulary_size < 280


def test_a_lone_surrogate_is_learned_from_as_it_is_encoded() -> None:
    tokenizer = train_byte_level_bpe(["\ud800 \ud800 \ud800"] * 4, vocab_size=300)
    assert tokenizer.count("\ud800") == tokenizer.count(b"\xed\xa0\x80") < 9


def test_an_error_of_the_corpus_is_the_error_that_is_seen() -> None:
    def texts() -> Iterator[str]:
        yield "some text"
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        train_byte_level_bpe(texts(), vocab_size=400)


def test_a_script_that_was_not_learned_is_spelt_in_bytes_and_counted(
    byte_level_bpe_tokenizer: BytePairTokenizer,
) -> None:
    text = "漢" * 1000
    assert byte_level_bpe_tokenizer.count(text) == 3 * 1000
    assert byte_level_bpe_tokenizer.decode(byte_level_bpe_tokenizer.encode(text)) == text


def test_a_large_corpus_is_sampled_alike_in_any_order(corpus: list[str]) -> None:
    long = [f"{i} {text}" for i in range(5) for text in corpus]
    sample = TextSample(20)
    first = train_byte_level_bpe(long, 400, sample)
    assert (sample.taken, sample.seen) == (20, len(long))
    assert first.files() == train_byte_level_bpe(long[::-1], 400, sample).files()
    assert first.files() != train_byte_level_bpe(long, 400).files()
