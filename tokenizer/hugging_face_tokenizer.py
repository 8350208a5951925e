"""A tokenizer of Hugging Face's library: the library in Python, ops of ours in the graph."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from types import MappingProxyType
from typing import Any, ClassVar

from tokenizer.added_tokens import check_added_tokens
from tokenizer.base import GraphTokenizer, Tokenizer, TokenizerError, utf8_bytes
from tokenizer.bpe_json import bpe_of, check_bpe
from tokenizer.bpe_vocabulary import BOS, EOS, PAD, bytes_of_piece
from tokenizer.hugging_face_library import (
    LIBRARY_FILE,
    content_tokens,
    load_library,
    special_names,
)
from tokenizer.unigram_json import UnigramRules, unigram_of


class HuggingFaceTokenizer(Tokenizer):
    """A Unigram or byte-level BPE that is counted by the `tokenizers` library.

    Its only file is the library's own, without the names of special tokens. Text that is not
    valid UTF-8 is read as by `BytePairTokenizer`. Added tokens that are content are one id
    wherever the library finds them; names of special ones are text.

    Example::

        tokenizer = HuggingFaceTokenizer(Path("hugging_face.json").read_bytes())
        tokenizer.encode("Counts that can be billed.")
    """

    kind: ClassVar[str] = "hugging_face"

    def __init__(self, library: bytes):
        """Load a tokenizer.

        Args:
          library: content of `hugging_face.json`, as `canonical_library` makes it.

        Raises:
          TokenizerError: the library rejects it, it has no ``<pad>`` and ``</s>``, or it counts
            in a way that the graph does not support.
        """
        self._content = library
        self._library = load_library(library)
        try:
            # As the library has read it: of a score's last bit its parser is not sure.
            self._values: dict[str, Any] = json.loads(self._library.to_str())
            self._special = special_names(self._values)
            self.content = content_tokens(self._values)
        except (KeyError, TypeError, ValueError) as error:
            raise TokenizerError(
                f"{LIBRARY_FILE} is not a tokenizer of the library: {error!r}"
            ) from None
        for name in (PAD, EOS):
            if name not in self._special:
                raise TokenizerError(
                    f"tokenizer.json has no special token {name!r}. Expected: {PAD} and {EOS}, "
                    "as T5, BART and Pegasus name them"
                )
        self._rules: UnigramRules | None = None
        if self._values["model"]["type"] == "Unigram":
            self._rules = unigram_of(self._values)
        else:
            check_bpe(self._values)
        special = [
            token["content"] for token in self._values["added_tokens"] if token["special"]
        ]
        check_added_tokens(self.content, special)

    def encode(self, text: str | bytes) -> list[int]:
        readable = utf8_bytes(text).decode("utf-8", "replace")
        return list(self._library.encode(readable, add_special_tokens=False).ids)

    def decode(self, ids: Sequence[int]) -> str:
        own = [value for value in self._check_ids(ids) if self._has_text(value)]
        return str(self._library.decode(own, skip_special_tokens=False))

    def _has_text(self, value: int) -> bool:
        return value not in self.special_ids and self._library.id_to_token(value) is not None

    def graph_tokenizer(self) -> GraphTokenizer:
        from tokenizer.added_tokens_graph import AddedTokensGraph, PieceTexts

        normalize = self._library.normalizer
        return AddedTokensGraph(
            self._model_graph(),
            self.content,
            normalize.normalize_str if normalize else str,
            PieceTexts(self._texts(first=False), self._texts(first=True)),
        )

    def _model_graph(self) -> Any:
        if self._rules:
            from tokenizer.unigram_graph import UnigramGraph

            return UnigramGraph(self._rules)
        from tokenizer.bpe_graph import BytePairGraph

        bpe = bpe_of(self._values)
        return BytePairGraph(bpe, self._whole_words(bpe.piece_bytes))

    def _whole_words(self, pieces: Sequence[bytes]) -> dict[bytes, int]:
        words = {}
        for value, piece in enumerate(pieces):
            text = piece.decode("utf-8", "ignore")
            if text.encode() == piece and self._model_ids(text) == [value]:
                words[piece] = value
        return words

    def _model_ids(self, text: str) -> list[int]:
        return [] if self._holds_content(text) else self.encode(text)

    def _holds_content(self, text: str) -> bool:
        return any(token.content in text for token in self.content)

    def _texts(self, first: bool) -> list[bytes]:
        """What each id is in a summary; none for special ids."""
        texts = [b""] * self.vocabulary_size
        names = {
            value: name
            for name, value in self._library.get_vocab(with_added_tokens=True).items()
            if value not in self.special_ids
        }
        if self._rules:
            for value, name in names.items():
                texts[value] = self._rules.text_of(name, first).encode()
            return texts
        for value, name in names.items():
            texts[value] = bytes_of_piece(name)
        return texts

    def files(self) -> Mapping[str, bytes]:
        return MappingProxyType({LIBRARY_FILE: self._content})

    @cached_property
    def special_ids(self) -> frozenset[int]:
        """Ids that no text has and that have no text."""
        return frozenset(self._special.values())

    @cached_property
    def vocabulary_size(self) -> int:
        ids = self._library.get_vocab(with_added_tokens=True).values()
        return 1 + max(ids)

    @cached_property
    def last_used_id(self) -> int:
        """The highest id that a text can have, or that is in use."""
        used = {self.pad_id, self.eos_id}
        unused = self.special_ids - used
        ids = self._library.get_vocab(with_added_tokens=True).values()
        return max(value for value in ids if value not in unused)

    @property
    def pad_id(self) -> int:
        return self._special[PAD]

    @property
    def eos_id(self) -> int:
        return self._special[EOS]

    @property
    def unk_id(self) -> int | None:
        return self._rules.unk_id if self._rules else None

    @property
    def bos_id(self) -> int | None:
        return self._special.get(BOS)
