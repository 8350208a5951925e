"""Training steps of the pipeline's own loop, as they come and compiled."""

from __future__ import annotations

import json
import tempfile
import time
from itertools import islice
from pathlib import Path
from typing import Any

import tensorflow as tf

from benchmarks.gpu.child import Report
from benchmarks.train.job import SHAPES, Shape, training_job, write_batches
from pipelines.training.loop import Training

T5_SMALL = Shape("T5-small, 6 + 6 layers", "t5", 512, 2048, 6, 8)
_SHAPES = {"demo": SHAPES[0], "t5-small": T5_SMALL}
_KEPT_BATCHES = 64


def measure(
    report: Report,
    material: str,
    shape: str,
    batch: int,
    steps: int,
    compiled: str,
    precision: str,
    lengths: int = 1,
    batches: str = "",
) -> dict[str, Any]:
    """Train.

    Args:
      material: folder of ``examples``.
      shape: ``demo`` or ``t5-small``.
      batch: rows of a batch.
      steps: of each of three rounds.
      compiled, precision: as the settings of the same names.
      lengths: ``compiled_lengths``.
      batches: file for the first batches, for PyTorch; none where empty.

    Returns:
      ``first_s``, until the first step was made; ``rounds``, each examples a second and nats
      a label.
    """
    tf.config.experimental.enable_tensor_float_32_execution(True)
    examples = Path(material, "examples")
    vocabulary_size = json.loads((examples / "vocabulary.json").read_text())
    with tempfile.TemporaryDirectory() as directory:
        Path(directory, "train.gz").symlink_to((examples / "train.gz").absolute())
        job = training_job(
            _SHAPES[shape],
            vocabulary_size,
            Path(directory),
            batch_size=batch,
            learning_rate=0.003,
            compiled=compiled,
            compiled_lengths=lengths,
            precision=precision,
        )
        training = Training(job)
        if batches:
            kept = lengths if training.execution.compiled else None
            write_batches(job, _KEPT_BATCHES, Path(batches), "bucketed", lengths=kept)
        found: dict[str, Any] = {"parameters": training.model.count_params(), "rounds": []}
        with training.execution.running():
            made = training.steps(0)

            def go(count: int) -> list[float]:
                started = time.perf_counter()
                last = [(nats, labels) for _, nats, labels in islice(made, count)]
                nats = sum(float(each) for each, _ in last)
                labels = sum(float(each) for _, each in last)
                seconds = time.perf_counter() - started
                return [round(count * batch / seconds, 1), round(nats / labels, 3)]

            started = time.perf_counter()
            go(1)
            found["first_s"] = round(time.perf_counter() - started, 1)
            go(steps)
            for _ in range(3):
                found["rounds"].append(go(steps))
                report(found)
        return found
