"""The engines that are compared: each turns a batch of texts into ids."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import sentencepiece
import tensorflow as tf
import tensorflow_text  # noqa: F401  (registers the tokenizer's ops)
import tokenizers

from tokenizer.base import Tokenizer
from tokenizer.bpe_training import train_byte_level_bpe
from tokenizer.training import train_sentencepiece

# Texts → ids of them all; the number is compared between engines.
Encode = Callable[[Sequence[str]], int]

# Texts and a size → a tokenizer.
Train = Callable[[Sequence[str], int], Tokenizer]

TRAINERS: dict[str, Train] = {
    "sentencepiece": train_sentencepiece,
    "byte_level_bpe": train_byte_level_bpe,
}


@dataclass(frozen=True)
class Engines:
    """The two engines of one kind of tokenizer.

    Attributes:
      library: the name of the tokenizer's own library, with its release.
      encode_by_library: its call for a batch, with the threads that it takes by itself.
      encode_in_graph: a SavedModel's function, as a server and Transform run it.
    """

    library: str
    encode_by_library: Encode
    encode_in_graph: Encode


def engines_of(tokenizer: Tokenizer, directory: Path) -> Engines:
    """Both engines of a tokenizer; its files and a SavedModel go to `directory`."""
    for name, content in tokenizer.files().items():
        (directory / name).write_bytes(content)
    library, encode = _LIBRARIES[tokenizer.kind](directory)
    return Engines(library, encode, _in_graph(tokenizer, directory / "saved_model"))


def _sentencepiece(directory: Path) -> tuple[str, Encode]:
    library = sentencepiece.SentencePieceProcessor(
        model_file=str(directory / "tokenizer.model")
    )

    def encode(texts: Sequence[str]) -> int:
        return sum(map(len, library.encode(list(texts))))

    return f"sentencepiece {sentencepiece.__version__}", encode


def _byte_level_bpe(directory: Path) -> tuple[str, Encode]:
    library = tokenizers.ByteLevelBPETokenizer.from_file(
        str(directory / "vocab.json"), str(directory / "merges.txt")
    )

    def encode(texts: Sequence[str]) -> int:
        return sum(len(encoding.ids) for encoding in library.encode_batch(list(texts)))

    return f"tokenizers {tokenizers.__version__}", encode


_LIBRARIES = {"sentencepiece": _sentencepiece, "byte_level_bpe": _byte_level_bpe}


def _in_graph(tokenizer: Tokenizer, directory: Path) -> Encode:
    module = tf.Module()
    module.graph = tokenizer.graph_tokenizer()
    module.tokenize = tf.function(
        module.graph.tokenize, input_signature=[tf.TensorSpec([None], tf.string)]
    )
    tf.saved_model.save(module, str(directory))
    loaded = tf.saved_model.load(str(directory))

    def encode(texts: Sequence[str]) -> int:
        # Values are read, as a caller would: nothing is left to be computed later.
        return len(loaded.tokenize(tf.constant(texts)).values.numpy())

    return encode
