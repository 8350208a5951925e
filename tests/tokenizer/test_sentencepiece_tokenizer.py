from __future__ import annotations

import io

import pytest
import sentencepiece

from tokenizer.base import TokenizerError
from tokenizer.sentencepiece_tokenizer import SentencePieceTokenizer


def test_special_ids_are_those_of_t5(sentencepiece_tokenizer: SentencePieceTokenizer) -> None:
    tokenizer = sentencepiece_tokenizer
    assert (tokenizer.pad_id, tokenizer.eos_id, tokenizer.unk_id) == (0, 1, 2)
    assert tokenizer.bos_id is None
    assert tokenizer.kind == "sentencepiece"
    assert tokenizer.vocabulary_size == 324


@pytest.mark.parametrize("model", [b"", b"not a model"])
def test_bytes_that_are_no_model_are_refused(model: bytes) -> None:
    with pytest.raises(TokenizerError, match=rf"not a SentencePiece model.*{len(model)} bytes"):
        SentencePieceTokenizer(model)


def test_a_model_without_padding_is_refused(corpus: list[str]) -> None:
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(corpus),
        model_writer=model,
        vocab_size=100,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    with pytest.raises(TokenizerError, match="has no pad_id"):
        SentencePieceTokenizer(model.getvalue())
