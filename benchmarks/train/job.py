"""What is measured: shapes, the corpus as transformed examples, and the batches as arrays."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from pipelines.models.architecture import Architecture
from pipelines.training.dataset import MOST_LENGTHS, training_batches
from pipelines.training.job import TrainingJob
from pipelines.training.settings import TrainingSettings
from tokenizer.training import train_sentencepiece

VOCABULARY_SIZE = 8000


@dataclass(frozen=True)
class Shape:
    """A model's sizes."""

    name: str
    family: str
    d_model: int
    d_ff: int
    num_layers: int
    num_heads: int


SHAPES = (
    Shape("T5 192, 2 + 2 layers (the demo)", "t5", 192, 768, 2, 4),
    Shape("BART 192, 2 + 2 layers", "bart", 192, 768, 2, 4),
    Shape("T5 128, 2 + 2 layers", "t5", 128, 512, 2, 4),
    Shape("T5 256, 4 + 4 layers", "t5", 256, 1024, 4, 4),
)


def write_examples(corpus: Path, directory: Path) -> int:
    """Tokenize a corpus as Transform does; the vocabulary's size.

    Args:
      corpus: folder with ``train.jsonl`` of ``document`` and ``summary``.
      directory: where ``train.gz`` goes.
    """
    lines = (corpus / "train.jsonl").read_text(encoding="utf-8").splitlines()
    pairs = [json.loads(line) for line in lines]
    texts = (pair[name] for pair in pairs for name in ("document", "summary"))
    tokenizer = train_sentencepiece(texts, VOCABULARY_SIZE)
    with tf.io.TFRecordWriter(str(directory / "train.gz"), "GZIP") as writer:
        for pair in pairs:
            features = {
                f"{name}_ids": tf.train.Feature(
                    int64_list=tf.train.Int64List(value=tokenizer.encode(pair[name]))
                )
                for name in ("document", "summary")
            }
            example = tf.train.Example(features=tf.train.Features(feature=features))
            writer.write(example.SerializeToString())
    return tokenizer.vocabulary_size


def training_job(
    shape: Shape, vocabulary_size: int, directory: Path, **changes: Any
) -> TrainingJob:
    """The demo's training of a shape, without its early stage of long labels."""
    sizes = {key: value for key, value in asdict(shape).items() if key != "name"}
    settings = {"min_overlap": 0.3, "steps": 1_000_000} | changes
    return TrainingJob(
        Architecture(
            **sizes,
            vocabulary_size=vocabulary_size,
            dropout=0.1,
            max_input_tokens=64,
            max_output_tokens=18,
        ),
        TrainingSettings.from_config(settings),
        (str(directory / "train.gz"),),
        (),
        directory / "state",
        directory / "run",
    )


def write_batches(
    job: TrainingJob, count: int, file: Path, padding: str, lengths: int | None = None
) -> None:
    """The first batches that the training reads, as one ``.npz``.

    Args:
      job: the training.
      count: batches.
      file: gets ``<i>/<name>``, int32 ``[batch, length]`` each.
      padding: ``bucketed``: the very batches. ``plain``: the same rows in a random order,
        each batch padded to its longest row, as a loop does that knows nothing of lengths.
      lengths: that rows are padded to; None for those of a training that is not compiled.
    """
    settings = job.settings
    batches = [
        dict(batch)
        for batch in training_batches(
            job.train_files,
            job.architecture,
            settings.batch_size,
            settings.seed,
            min_overlap=settings.min_overlap,
            lengths=lengths or MOST_LENGTHS,
        )
        .take(count)
        .as_numpy_iterator()
    ]
    if padding == "plain":
        batches = _shuffled(batches, settings.batch_size)
    np.savez(
        file, **{f"{i}/{key}": v for i, batch in enumerate(batches) for key, v in batch.items()}
    )


def _shuffled(batches: list[dict[str, np.ndarray]], size: int) -> list[dict[str, np.ndarray]]:
    rows = [{k: v[i] for k, v in batch.items()} for batch in batches for i in range(size)]
    order = np.random.default_rng(0).permutation(len(rows))
    return [
        _padded([rows[i] for i in order[start : start + size]])
        for start in range(0, len(rows), size)
    ]


def _padded(rows: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    padded = {}
    for side, names in (
        ("encoder_padding_mask", ("encoder_token_ids", "encoder_padding_mask")),
        ("decoder_padding_mask", ("decoder_token_ids", "decoder_padding_mask", "labels")),
    ):
        width = max(int(row[side].sum()) for row in rows)
        for name in names:
            cut = [row[name][:width] for row in rows]
            padded[name] = np.stack([np.pad(row, (0, width - len(row))) for row in cut])
    return padded
