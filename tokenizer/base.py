"""The interface of every tokenizer of this project, in Python and in the graph."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Protocol

from tokenizer.fingerprint import fingerprint_of

if TYPE_CHECKING:
    import tensorflow as tf


class TokenizerError(ValueError):
    """The tokenizer cannot be trained, read or trusted. Never worth a retry."""


class GraphTokenizer(Protocol):
    """A tokenizer in the graph: a `tf.Module`, so that a SavedModel contains what it needs.

    For every text and every list of ids it gives the same results as the tokenizer in Python.
    """

    def tokenize(self, text: tf.Tensor) -> tf.RaggedTensor:
        """Return the ids of texts, without EOS or any other special id.

        Args:
          text: string [batch]; any bytes.

        Returns:
          int32 [batch, None], ragged.
        """

    def detokenize(self, ids: tf.RaggedTensor) -> tf.Tensor:
        """Return the texts of ids.

        Args:
          ids: int32 [batch, None], ragged, each in `[0, vocabulary_size)`.

        Returns:
          string [batch].

        Raises:
          tf.errors.OpError: an id is outside the vocabulary, in any row. The type of error
            depends on the kind of tokenizer.
        """


class Tokenizer(ABC):
    """A vocabulary with its ids, the same in Python and in the graph.

    Two tokenizers count the same way if and only if their `fingerprint` is the same.
    """

    kind: ClassVar[str]
    """Name of the kind of tokenizer, as in a descriptor: for example `sentencepiece`."""

    @abstractmethod
    def encode(self, text: str | bytes) -> list[int]:
        """Return every id of a text, without EOS or any other special id, and without
        truncation.

        Args:
          text: a string, or bytes that need not be valid UTF-8. Lone surrogates of a
            string stand for the bytes that UTF-8 would give them.
        """

    @abstractmethod
    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of ids; special ids have none.

        Raises:
          TokenizerError: an id is outside `[0, vocabulary_size)`.
        """

    @abstractmethod
    def graph_tokenizer(self) -> GraphTokenizer:
        """Return the tokenizer for the graph. Imports TensorFlow, which nothing else here
        does."""

    @abstractmethod
    def files(self) -> Mapping[str, bytes]:
        """The canonical files by name: everything that determines the ids, and nothing else."""

    @property
    @abstractmethod
    def vocabulary_size(self) -> int:
        """Number of ids. May be less than requested in training: use it for the sizes of
        models."""

    @property
    @abstractmethod
    def pad_id(self) -> int:
        """Id of padding, also the decoder's start in T5."""

    @property
    @abstractmethod
    def eos_id(self) -> int:
        """Id that ends a sequence."""

    @property
    @abstractmethod
    def unk_id(self) -> int | None:
        """Id of text that no other id stands for; None if every byte has an id."""

    @property
    @abstractmethod
    def bos_id(self) -> int | None:
        """Id that starts a sequence; None if there is none."""

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the canonical files (see `tokenizer.fingerprint`)."""
        return fingerprint_of(self.files())

    def count(self, text: str | bytes) -> int:
        """Return the number of ids of a text, as from `encode`."""
        return len(self.encode(text))

    def _check_ids(self, ids: Iterable[int]) -> list[int]:
        checked = list(ids)
        for value in checked:
            if not 0 <= value < self.vocabulary_size:
                raise TokenizerError(
                    f"an id is outside the vocabulary. Expected: 0 to "
                    f"{self.vocabulary_size - 1}. Received: {value}"
                )
        return checked


def utf8_bytes(text: str | bytes) -> bytes:
    """Return the bytes of a text that a tokenizer gets in Python and in the graph."""
    return text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
