"""A tiny vocabulary, the same bytes on every machine."""

from __future__ import annotations

import os

import pytest

# Before anything imports TensorFlow: its start-up lines hide what a failing test says.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from tokenizer.base import GraphTokenizer
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
def tokenizer() -> SentencePieceTokenizer:
    return train_sentencepiece(CORPUS, vocab_size=400)


@pytest.fixture(scope="session")
def graph(tokenizer: SentencePieceTokenizer) -> GraphTokenizer:
    return tokenizer.graph_tokenizer()
