"""What every tokenizer of this project offers, in Python and in the graph."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Protocol

from tokenizer.fingerprint import fingerprint_of

if TYPE_CHECKING:
    import tensorflow as tf


class TokenizerError(ValueError):
    """A tokenizer that cannot be trained, read or trusted. Never worth a retry."""


class GraphTokenizer(Protocol):
    """The in-graph form: a `tf.Module`, so that a SavedModel keeps what it needs.

    For every text and every list of ids it gives the answers of the Python form.
    """

    def tokenize(self, text: tf.Tensor) -> tf.RaggedTensor:
        """Ids of texts, without EOS or any other special id.

        Args:
          text: string [batch]; any bytes.

        Returns:
          int32 [batch, None], ragged.
        """

    def detokenize(self, ids: tf.RaggedTensor) -> tf.Tensor:
        """Texts of ids.

        Args:
          ids: int32 [batch, None], ragged, each in `[0, vocabulary_size)`.

        Returns:
          string [batch].

        Raises:
          tf.errors.OpError: an id is outside the vocabulary, in any row. Which one depends on
            the kind.
        """


class Tokenizer(ABC):
    """A vocabulary with its ids, the same in Python and in the graph.

    Two tokenizers count alike if, and only if, their `fingerprint` is the same.
    """

    kind: ClassVar[str]
    """Name of the kind of tokenizer, as in a descriptor: for example `sentencepiece`."""

    @abstractmethod
    def encode(self, text: str | bytes) -> list[int]:
        """Every id of a text, without EOS or any other special id; nothing is cut off.

        Args:
          text: a string, or bytes that need not be valid UTF-8. Lone surrogates of a
            string stand for the bytes that UTF-8 would give them.
        """

    @abstractmethod
    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids; special ids have none.

        Raises:
          TokenizerError: an id is outside `[0, vocabulary_size)`.
        """

    @abstractmethod
    def graph_tokenizer(self) -> GraphTokenizer:
        """The in-graph form. Imports TensorFlow, which nothing else here does."""

    @abstractmethod
    def files(self) -> Mapping[str, bytes]:
        """The canonical files by name: all that decides on ids, and nothing else."""

    @property
    @abstractmethod
    def vocabulary_size(self) -> int:
        """Number of ids. May be less than training was asked for: size models by it."""

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
        """Id of text that no other id stands for; None where every byte has one."""

    @property
    @abstractmethod
    def bos_id(self) -> int | None:
        """Id that starts a sequence; None where there is none."""

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the canonical files (see `tokenizer.fingerprint`)."""
        return fingerprint_of(self.files())

    def count(self, text: str | bytes) -> int:
        """Number of ids of a text, as `encode` gives them."""
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
    """The bytes that both forms of a tokenizer are given for a text."""
    return text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
