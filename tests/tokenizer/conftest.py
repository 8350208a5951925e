"""Tiny vocabularies of both kinds, the same bytes on every machine, and their libraries."""

from __future__ import annotations

import os

import pytest
import sentencepiece
import tokenizers

# Before anything imports TensorFlow: its start-up lines hide what a failing test says.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from tests.tokenizer.library import Library
from tokenizer.base import GraphTokenizer, Tokenizer
from tokenizer.bpe_tokenizer import BytePairTokenizer
from tokenizer.bpe_training import train_byte_level_bpe
from tokenizer.sentencepiece_tokenizer import SentencePieceTokenizer
from tokenizer.training import train_sentencepiece

_THINGS = ("file", "socket", "record", "table", "queue", "index", "page", "stream")
_ACTIONS = ("opens", "closes", "reads", "writes", "removes", "copies", "counts")

CORPUS = [
    f"This call {action} the {thing}. >>> The {thing}'s naïve café costs {number} €, or less."
    for number, action in enumerate(_ACTIONS)
    for thing in _THINGS
]


@pytest.fixture(scope="session")
def corpus() -> list[str]:
    return CORPUS


@pytest.fixture(scope="session")
def sentencepiece_tokenizer() -> SentencePieceTokenizer:
    return train_sentencepiece(CORPUS, vocab_size=400)


@pytest.fixture(scope="session")
def byte_level_bpe_tokenizer() -> BytePairTokenizer:
    return train_byte_level_bpe(CORPUS, vocab_size=400)


@pytest.fixture(scope="session", params=["sentencepiece", "byte_level_bpe"])
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    """Each kind in turn, for what holds for all."""
    found: Tokenizer = request.getfixturevalue(f"{request.param}_tokenizer")
    return found


@pytest.fixture(scope="session")
def graph(tokenizer: Tokenizer) -> GraphTokenizer:
    """The graph form, traced as a served model has it."""
    import tensorflow as tf

    module = tokenizer.graph_tokenizer()
    for name, signature in (
        ("tokenize", tf.TensorSpec([None], tf.string)),
        ("detokenize", tf.RaggedTensorSpec([None, None], tf.int32)),
    ):
        traced = tf.function(getattr(module, name), input_signature=[signature])
        setattr(module, name, traced)
    return module


@pytest.fixture(scope="session")
def library(tokenizer: Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> Library:
    directory = tmp_path_factory.mktemp(tokenizer.kind)
    paths = {name: str(directory / name) for name in tokenizer.files()}
    for name, content in tokenizer.files().items():
        (directory / name).write_bytes(content)
    return _LIBRARIES[tokenizer.kind](paths)


def _sentencepiece_library(paths: dict[str, str]) -> Library:
    processor = sentencepiece.SentencePieceProcessor(model_file=paths["tokenizer.model"])
    return Library(processor.encode, processor.decode)


def _byte_level_bpe_library(paths: dict[str, str]) -> Library:
    files = paths["vocab.json"], paths["merges.txt"]
    encoder, decoder = (tokenizers.ByteLevelBPETokenizer.from_file(*files) for _ in range(2))
    # To the encoder special pieces are text like any other.
    decoder.add_special_tokens(["<s>", "<pad>", "</s>", "<unk>"])
    return Library(
        # Whose Python takes text only: bytes are first read as Unicode has it.
        lambda text: encoder.encode(text.decode("utf-8", "replace")).ids,
        lambda ids: decoder.decode(ids, skip_special_tokens=True),
    )


_LIBRARIES = {
    "sentencepiece": _sentencepiece_library,
    "byte_level_bpe": _byte_level_bpe_library,
}
