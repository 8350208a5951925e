"""Byte-level BPE, as in GPT-2, RoBERTa and BART: the `tokenizers` library in Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import ClassVar

import tokenizers
from tokenizers import decoders, models, pre_tokenizers

from tokenizer.base import GraphTokenizer, Tokenizer, utf8_bytes
from tokenizer.bpe_vocabulary import BOS, EOS, MERGES_FILE, PAD, VOCABULARY_FILE, read_bpe


class BytePairTokenizer(Tokenizer):
    """A byte-level BPE: `vocab.json` and `merges.txt`, as Hugging Face keeps them.

    Every byte has an id, so no text is unknown and none is free. Bytes that are not valid UTF-8
    are read as U+FFFD, one for each maximal ill-formed part (Unicode 3.9, D93b), because the
    library accepts only Unicode. Special pieces in a text, such as ``</s>``, are text like any
    other: a caller cannot write a special id.

    Example::

        tokenizer = BytePairTokenizer(
            Path("vocab.json").read_bytes(), Path("merges.txt").read_bytes()
        )
        tokenizer.encode("Counts that can be billed.")
    """

    kind: ClassVar[str] = "byte_level_bpe"

    def __init__(self, vocabulary: bytes, merges: bytes):
        """Load a vocabulary.

        Args:
          vocabulary, merges: content of `vocab.json` and of `merges.txt`, as `read_bpe`
            takes them.

        Raises:
          TokenizerError: they cannot be read; see `read_bpe`.
        """
        self._vocabulary = vocabulary
        self._merges = merges
        self.bpe = read_bpe(vocabulary, merges)
        library = tokenizers.Tokenizer(
            models.BPE(vocab=dict(self.bpe.ids), merges=list(self.bpe.merges))
        )
        library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
        library.decoder = decoders.ByteLevel()
        self._library = library

    def encode(self, text: str | bytes) -> list[int]:
        readable = utf8_bytes(text).decode("utf-8", "replace")
        return list(self._library.encode(readable, add_special_tokens=False).ids)

    def decode(self, ids: Sequence[int]) -> str:
        special = self.bpe.special_ids
        own = [value for value in self._check_ids(ids) if value not in special]
        return str(self._library.decode(own, skip_special_tokens=False))

    def graph_tokenizer(self) -> GraphTokenizer:
        from tokenizer.bpe_graph import BytePairGraph

        return BytePairGraph(self.bpe, self._whole_words())

    def _whole_words(self) -> dict[bytes, int]:
        """Pieces that are words, as the library says, with their ids: most words of a text."""
        words = {}
        for value, piece in enumerate(self.bpe.piece_bytes):
            text = piece.decode("utf-8", "ignore")
            # One by one: a batch would start threads, and forking after that is a nuisance.
            if text.encode() == piece and self.encode(text) == [value]:
                words[piece] = value
        return words

    def files(self) -> Mapping[str, bytes]:
        return MappingProxyType({VOCABULARY_FILE: self._vocabulary, MERGES_FILE: self._merges})

    @property
    def vocabulary_size(self) -> int:
        return len(self.bpe.ids)

    @property
    def pad_id(self) -> int:
        return self.bpe.ids[PAD]

    @property
    def eos_id(self) -> int:
        return self.bpe.ids[EOS]

    @property
    def unk_id(self) -> None:
        """None: every byte has an id. ``<unk>`` may exist and is never given."""

    @property
    def bos_id(self) -> int | None:
        return self.bpe.ids.get(BOS)
