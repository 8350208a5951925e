"""The shapes of models that are measured, and the points of each.

Runs in both environments: imports only NumPy and the standard library.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt

LONGEST_INPUT, LONGEST_OUTPUT, LARGEST_BATCH = 512, 64, 8
# Below it are special ids, which no input holds and no answer may hold.
FIRST_ID = 4
# In the folder of a model that is none of `SHAPES`.
SHAPE_FILE: Final = "shape.json"


@dataclass(frozen=True)
class Shape:
    """A model's sizes, as in the original of its family.

    Attributes:
      name: of the shape.
      family: ``t5`` or ``bart``.
      config: arguments of transformers' config of the family.
      pad_id, eos_id: special ids.
      start_ids: ids before every input.
      no_repeat_ngram_size: no sequence of so many ids is written twice; 0 for any.
    """

    name: str
    family: str
    config: dict[str, Any]
    pad_id: int
    eos_id: int
    start_ids: tuple[int, ...]
    no_repeat_ngram_size: int = 0

    @property
    def vocabulary_size(self) -> int:
        size: int = self.config["vocab_size"]
        return size

    def save(self, directory: Path) -> None:
        """Write it where `shape_of` finds it."""
        text = json.dumps(asdict(self), indent=1) + "\n"
        (directory / SHAPE_FILE).write_text(text, encoding="utf-8")


_T5_SMALL = Shape(
    "t5-small",
    "t5",
    {
        "vocab_size": 32128,
        "d_model": 512,
        "d_kv": 64,
        "d_ff": 2048,
        "num_layers": 6,
        "num_decoder_layers": 6,
        "num_heads": 8,
        "feed_forward_proj": "relu",
        "tie_word_embeddings": True,
        "pad_token_id": 0,
        "eos_token_id": 1,
        "decoder_start_token_id": 0,
    },
    pad_id=0,
    eos_id=1,
    start_ids=(),
)
_BART_BASE = Shape(
    "bart-base",
    "bart",
    {
        "vocab_size": 50265,
        "d_model": 768,
        "encoder_layers": 6,
        "decoder_layers": 6,
        "encoder_attention_heads": 12,
        "decoder_attention_heads": 12,
        "encoder_ffn_dim": 3072,
        "decoder_ffn_dim": 3072,
        "max_position_embeddings": 1024,
        "activation_function": "gelu",
        "bos_token_id": 0,
        "pad_token_id": 1,
        "eos_token_id": 2,
        "decoder_start_token_id": 2,
        "normalize_before": False,  # asked for by CTranslate2; in the original, too
        "forced_eos_token_id": None,
    },
    pad_id=1,
    eos_id=2,
    start_ids=(0,),
)
SHAPES = {shape.name: shape for shape in (_T5_SMALL, _BART_BASE)}


def shape_of(name: str) -> Shape:
    """One of `SHAPES` by its name, or what `Shape.save` wrote, by the file's path."""
    if name in SHAPES:
        return SHAPES[name]
    values = json.loads(Path(name).read_text(encoding="utf-8"))
    return Shape(**values | {"start_ids": tuple(values["start_ids"])})


@dataclass(frozen=True, order=True)
class Case:
    """One point.

    Attributes:
      batch: rows.
      ids_in: number of ids of each row that the encoder reads, including special ones.
      ids_out: number of ids that are written for each row; none of them is EOS.
    """

    batch: int
    ids_in: int
    ids_out: int

    def __str__(self) -> str:
        return f"batch {self.batch}, {self.ids_in} in, {self.ids_out} out"

    def to_json(self) -> dict[str, int]:
        return asdict(self)


_INPUTS, _OUTPUTS = (128, LONGEST_INPUT), (32, LONGEST_OUTPUT)
CASES = tuple(Case(*each) for each in itertools.product((1, LARGEST_BATCH), _INPUTS, _OUTPUTS))


@dataclass(frozen=True)
class Rows:
    """Rows as the encoder reads them: start, ids, EOS, and padding where they are shorter.

    Attributes:
      ids: ``[batch, width]``; the longest row has no padding.
      length: ``[batch]``, ids of each row, without padding.
    """

    ids: npt.NDArray[np.int64]
    length: npt.NDArray[np.int64]

    @classmethod
    def of(cls, rows: Sequence[Sequence[int]], pad_id: int) -> Self:
        length = np.array([len(row) for row in rows])
        ids = np.full((len(rows), length.max()), pad_id)
        for padded, row in zip(ids, rows, strict=True):
            padded[: len(row)] = row
        return cls(ids, length)


def inputs(shape: Shape, case: Case) -> npt.NDArray[np.int64]:
    """Rows as the encoder reads them, ``[batch, ids_in]``: start, random ids, EOS.

    A smaller batch is the first rows of a larger one; how much is written changes nothing.
    """
    random = np.random.default_rng(case.ids_in)
    ids = random.integers(FIRST_ID, shape.vocabulary_size, (LARGEST_BATCH, case.ids_in))
    ids[:, : len(shape.start_ids)] = shape.start_ids
    ids[:, -1] = shape.eos_id
    return ids[: case.batch]


def own_ids(shape: Shape, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The caller's ids: rows without the special ones.

    Of rows that end with padding, what is behind their own length is EOS and padding.
    """
    return rows[:, len(shape.start_ids) : -1]
