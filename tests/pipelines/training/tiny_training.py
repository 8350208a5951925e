"""Trainings of a model of a few hundred weights on made-up ids: a second or two each."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
import tensorflow as tf

from pipelines.models.architecture import Architecture
from pipelines.training.checkpoints import read_history
from pipelines.training.job import TrainingJob
from pipelines.training.progress import HISTORY_FILE
from pipelines.training.settings import TrainingSettings
from pipelines.training.standing import LOGGER

VOCABULARY: Final = 24
_FIRST_ID: Final = 3  # after pad, EOS and unk


def tiny_architecture(family: str = "t5", **own: object) -> Architecture:
    return Architecture.from_config(
        {
            "family": family,
            "d_model": 8,
            "num_layers": 1,
            "num_heads": 2,
            "d_ff": 12,
            "max_input_tokens": 8,
            "max_output_tokens": 6,
            **own,
        },
        vocabulary_size=VOCABULARY,
        pad_id=0,
        eos_id=1,
        prefix_ids=(),
    )


def tiny_job(root: Path, family: str = "t5", **training: object) -> TrainingJob:
    """A training on 24 pairs whose summaries have nothing to do with their documents: what is
    learnt of them by heart is of no use for the 12 pairs that are held out."""
    files = {}
    for split, count, seed in (("train", 24, 1), ("eval", 12, 2)):
        files[split] = root / f"{split}.gz"
        root.mkdir(parents=True, exist_ok=True)
        _write(files[split], count, np.random.default_rng(seed))
    return TrainingJob(
        tiny_architecture(family),
        TrainingSettings.from_config(
            {
                "batch_size": 8,
                "optimizer": "adamw",
                "learning_rate": 0.05,
                "warmup_steps": 0,
                **training,
            }
        ),
        (str(files["train"]),),
        (str(files["eval"]),),
        root / "state",
        root / "run",
    )


def rows_of(job: TrainingJob) -> list[dict[str, Any]]:
    """The history that a training left."""
    return read_history(job.run_dir / HISTORY_FILE, job.settings.steps)


@contextmanager
def interrupted_at(words: str, times: int) -> Iterator[None]:
    """Interrupt the training when it says something for the so-manieth time."""

    class Interrupter(logging.Handler):
        left = times

        def emit(self, record: logging.LogRecord) -> None:
            if words in record.getMessage():
                self.left -= 1
                if self.left == 0:
                    raise KeyboardInterrupt

    handler = Interrupter(logging.INFO)
    LOGGER.addHandler(handler)
    LOGGER.setLevel(logging.INFO)
    try:
        with pytest.raises(KeyboardInterrupt):
            yield
    finally:
        LOGGER.removeHandler(handler)
        LOGGER.setLevel(logging.NOTSET)


def _write(file: Path, count: int, random: np.random.Generator) -> None:
    with tf.io.TFRecordWriter(str(file), tf.io.TFRecordOptions("GZIP")) as writer:
        for _ in range(count):
            features = {
                name: random.integers(_FIRST_ID, VOCABULARY, random.integers(2, longest))
                for name, longest in (("document_ids", 8), ("summary_ids", 6))
            }
            example = tf.train.Example(
                features=tf.train.Features(
                    feature={
                        name: tf.train.Feature(int64_list=tf.train.Int64List(value=ids))
                        for name, ids in features.items()
                    }
                )
            )
            writer.write(example.SerializeToString())
