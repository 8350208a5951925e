"""A Pegasus's own ids: its SentencePiece model's, moved."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
import sentencepiece

from tests.tokenizer.conftest import CORPUS
from tokenizer.agreement import check_agreement
from tokenizer.base import TokenizerError
from tokenizer.hard_texts import FIXED_HARD_TEXTS, generated_hard_texts
from tokenizer.pegasus_pieces import pegasus_model
from tokenizer.pretrained import load_pretrained_tokenizer
from tokenizer.sentencepiece_tokenizer import SentencePieceTokenizer


@pytest.fixture(scope="module")
def model() -> bytes:
    """A vocabulary as Pegasus's is trained: pad 0, eos 1, unk 2, no bytes."""
    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(CORPUS),
        model_writer=written,
        vocab_size=200,
        hard_vocab_limit=False,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        minloglevel=2,
    )
    return written.getvalue()


def folder_of(directory: Path, model: bytes, **settings: object) -> Path:
    (directory / "config.json").write_text(json.dumps({"model_type": "pegasus"}))
    (directory / "tokenizer_config.json").write_text(json.dumps(settings))
    (directory / "spiece.model").write_bytes(model)
    return directory


def test_pieces_stand_further_on_and_special_ids_do_not(model: bytes, tmp_path: Path) -> None:
    own = sentencepiece.SentencePieceProcessor(model_proto=model)
    tokenizer = load_pretrained_tokenizer(folder_of(tmp_path, model))
    assert isinstance(tokenizer, SentencePieceTokenizer)
    assert (tokenizer.pad_id, tokenizer.eos_id, tokenizer.unk_id) == (0, 1, 105)
    assert tokenizer.vocabulary_size == own.get_piece_size() + 103
    for text in (*CORPUS[:20], "東京 ♥ unknown", "<mask_1> <unk_2> </s> <pad>"):
        assert tokenizer.encode(text) == [each + 103 for each in own.encode(text)]
    names = sentencepiece.SentencePieceProcessor(
        model_proto=tokenizer.files()["tokenizer.model"]
    )
    # As published: ids 2 to 104 are of pretraining.
    assert [names.id_to_piece(each) for each in (0, 1, 2, 3, 4, 104, 105)] == [
        *("<pad>", "</s>", "<mask_1>", "<mask_2>", "<unk_2>", "<unk_102>", "<unk>")
    ]


def test_the_graph_agrees(model: bytes, tmp_path: Path) -> None:
    tokenizer = load_pretrained_tokenizer(folder_of(tmp_path, model))
    short = [text for text in FIXED_HARD_TEXTS.values() if len(text) < 10_000]
    check_agreement(tokenizer, [*short, *generated_hard_texts(300, 3, CORPUS)])


def test_another_offset(model: bytes, tmp_path: Path) -> None:
    tokenizer = load_pretrained_tokenizer(folder_of(tmp_path, model, offset=5))
    assert tokenizer.unk_id == 7


@pytest.mark.parametrize("content", [b"", b"\xff\xff", b"PK\x03\x04"])
def test_what_is_no_model_is_refused(content: bytes) -> None:
    with pytest.raises(TokenizerError, match="SentencePiece model"):
        pegasus_model(content)
