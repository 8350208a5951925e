"""SentencePiece: the library in Python, TF Text's own build of it in the graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from types import MappingProxyType
from typing import ClassVar, Final

import sentencepiece

from tokenizer.base import GraphTokenizer, Tokenizer, TokenizerError, utf8_bytes

MODEL_FILE: Final = "tokenizer.model"


class SentencePieceTokenizer(Tokenizer):
    """A SentencePiece model; special ids as the model itself has them.

    TF Text, and with it every TensorFlow Serving, is built on SentencePiece 0.1.96. The
    library gives the same ids up to release 0.2.1. Since 0.2.2 it breaks ties between equally
    likely segmentations differently (`>>>` as `>>` `>` or as `>` `>>`), which gives other ids
    for a few per cent of texts, and other counts for texts of a megabyte. This is why
    `pyproject.toml` limits the release.

    Example::

        tokenizer = SentencePieceTokenizer(Path("tokenizer.model").read_bytes())
        tokenizer.encode("Counts that can be billed.")
    """

    kind: ClassVar[str] = "sentencepiece"

    def __init__(self, model: bytes):
        """Load a serialised SentencePiece model.

        Args:
          model: content of a `tokenizer.model` or `spiece.model` file.

        Raises:
          TokenizerError: not a SentencePiece model, or one without a padding or end id.
        """
        self._model = model
        try:
            # An empty model would be taken for "load nothing", and fail at first use only.
            if not model:
                raise ValueError("no bytes")
            self._library = sentencepiece.SentencePieceProcessor(model_proto=model)
        except (RuntimeError, ValueError) as error:
            raise TokenizerError(
                f"not a SentencePiece model: {error}. Received: {len(model)} bytes"
            ) from None
        for name in ("pad_id", "eos_id"):
            if getattr(self._library, name)() < 0:
                raise TokenizerError(
                    f"the SentencePiece model has no {name}. Expected: one trained with "
                    f"{name} >= 0, such as T5's (pad 0, eos 1, unk 2)"
                )

    def encode(self, text: str | bytes) -> list[int]:
        return list(self._library.encode(utf8_bytes(text)))

    def decode(self, ids: Sequence[int]) -> str:
        return str(self._library.decode(self._check_ids(ids)))

    def graph_tokenizer(self) -> GraphTokenizer:
        from tokenizer.sentencepiece_graph import SentencePieceGraph

        return SentencePieceGraph(self._model)

    def files(self) -> Mapping[str, bytes]:
        return MappingProxyType({MODEL_FILE: self._model})

    @cached_property
    def vocabulary_size(self) -> int:
        return int(self._library.get_piece_size())

    @property
    def pad_id(self) -> int:
        return int(self._library.pad_id())

    @property
    def eos_id(self) -> int:
        return int(self._library.eos_id())

    @property
    def unk_id(self) -> int:
        return int(self._library.unk_id())

    @property
    def bos_id(self) -> int | None:
        bos_id = int(self._library.bos_id())
        return bos_id if bos_id >= 0 else None
