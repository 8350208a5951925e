"""Our side: a process that makes training steps when it is told to.

Protocol of both sides, line by line: after start-up it writes ``{"parameters": n}``; each
line read is a number of steps; each line written ``{"seconds": s, "loss": nats a label}``.
"""

from __future__ import annotations

import json
import sys
import time
from itertools import islice
from pathlib import Path

import tensorflow as tf

from benchmarks.train.job import SHAPES, training_job
from pipelines.training.loop import Training
from pipelines.training.precision import bfloat16_products


def main(
    directory: str, shape: str, vocabulary_size: str, threads: str, precision: str
) -> None:
    """Serve steps; the arguments are those of `benchmarks.train.measure.ours`."""
    tf.config.threading.set_intra_op_parallelism_threads(int(threads))
    tf.config.threading.set_inter_op_parallelism_threads(int(threads))
    job = training_job(
        next(each for each in SHAPES if each.name == shape),
        int(vocabulary_size),
        Path(directory),
        precision=precision,
    )
    training = Training(job)
    with bfloat16_products(precision == "bfloat16"):
        steps = training.steps(0)
        _say(parameters=training.model.count_params())
        for line in sys.stdin:
            started = time.perf_counter()
            nats = labels = 0.0
            for _, batch_nats, batch_labels in islice(steps, int(line)):
                nats += float(batch_nats)
                labels += float(batch_labels)
            _say(seconds=time.perf_counter() - started, loss=nats / labels)


def _say(**values: float) -> None:
    print(json.dumps(values), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
