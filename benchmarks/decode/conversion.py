"""Converts a Hugging Face folder for CTranslate2; runs in the peers' environment.

    python -m benchmarks.decode.conversion SHAPE DIRECTORY

reads ``hugging_face`` beside ``DIRECTORY`` and writes float32 weights; CTranslate2 itself
makes int8 of them where it is asked to. ``SHAPE`` is a name, or the file of a trained model's.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from ctranslate2.converters import TransformersConverter

from benchmarks.decode.cases import Shape, shape_of


def piece(index: int) -> str:
    """CTranslate2 takes and gives pieces, not ids: made-up ones, one for each id."""
    return f"<{index}>"


class _Pieces:
    """What a converter asks of a tokenizer."""

    def __init__(self, shape: Shape) -> None:
        self._size = shape.vocabulary_size
        self.pad_token = piece(shape.pad_id)
        self.eos_token = piece(shape.eos_id)
        self.bos_token = piece(shape.start_ids[0]) if shape.start_ids else None
        self.unk_token = piece(3 if shape.family == "bart" else 2)

    def get_vocab(self) -> dict[str, int]:
        return {piece(i): i for i in range(self._size)}

    def convert_ids_to_tokens(self, index: int) -> str:
        return piece(index)


class _Converter(TransformersConverter):
    def __init__(self, shape: Shape, source: Path) -> None:
        super().__init__(str(source))
        self._shape = shape

    def load_tokenizer(self, *_: Any, **__: Any) -> _Pieces:
        return _Pieces(self._shape)


if __name__ == "__main__":
    target = Path(sys.argv[2])
    _Converter(shape_of(sys.argv[1]), target.with_name("hugging_face")).convert(
        str(target), quantization="float32", force=True
    )
