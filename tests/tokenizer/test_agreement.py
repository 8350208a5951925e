from __future__ import annotations

import io

import pytest
import sentencepiece

from tokenizer.agreement import check_agreement
from tokenizer.base import Tokenizer, TokenizerError
from tokenizer.hard_texts import FIXED_HARD_TEXTS, generated_hard_texts
from tokenizer.sentencepiece_tokenizer import SentencePieceTokenizer


def test_a_tokenizer_of_ours_agrees_with_itself(
    tokenizer: Tokenizer, corpus: list[str]
) -> None:
    texts: list[str | bytes] = [
        *corpus,
        *FIXED_HARD_TEXTS.values(),
        *generated_hard_texts(500, 3, []),
    ]
    check_agreement(tokenizer, texts)
    check_agreement(tokenizer, [])


def test_a_model_that_the_graph_decodes_in_its_own_way_is_refused(corpus: list[str]) -> None:
    # Given a vocabulary that keeps leading white space, which SentencePiece 0.1.96, the
    # one inside TF Text, cuts off where the library does not.
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(corpus),
        model_writer=model,
        vocab_size=100,
        hard_vocab_limit=False,
        remove_extra_whitespaces=False,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        minloglevel=2,
    )
    with pytest.raises(TokenizerError, match=r"decodes differently in the graph"):
        check_agreement(SentencePieceTokenizer(model.getvalue()), ["    This call"])
