"""Checkpoints that transformers wrote, and what it makes of them.

``scripts/make_checkpoint_fixtures.py`` says what each file holds and made all of them.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.checkpoints.checkpoint import Checkpoint
from pipelines.models.architecture import Architecture

FIXTURES = Path(__file__).parent / "fixtures"
STEPS = 24  # of generation


@dataclass(frozen=True)
class Answers:
    """One fixture's ``answers.npz``: rows of the caller's ids, and what was made of them.

    In ``generated["recipe"]`` are all ids behind the decoder's start; see the script.
    """

    ids: np.ndarray
    length: np.ndarray
    decoder: np.ndarray
    logits: np.ndarray
    generated: dict[str, list[list[int]]]
    beams: list[dict[str, Any]]


def read_answers(name: str) -> Answers:
    values = np.load(FIXTURES / name / "answers.npz")
    return Answers(
        ids=values["ids"].astype("int32"),
        length=values["length"].astype("int32"),
        decoder=values["decoder"].astype("int32"),
        logits=values["logits"],
        generated={
            key: [[each for each in row if each >= 0] for row in values[key].tolist()]
            for key in values.files
            if key in ("greedy", "recipe") or key.startswith("beams_")
        },
        beams=json.loads((FIXTURES / name / "beams.json").read_text()),
    )


def architecture_of(checkpoint: Checkpoint, **settings: Any) -> Architecture:
    """A checkpoint's model with limits that the fixtures' rows fit in; no task prefix."""
    values = asdict(checkpoint.description)
    prefix_ids = values.pop("encoder_start_ids")
    limits = {"max_input_tokens": 150 if values["family"] == "t5" else 60}
    limits["max_output_tokens"] = STEPS
    return Architecture(**values, **(limits | settings), prefix_ids=prefix_ids)
