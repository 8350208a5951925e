"""Our side: a worker that runs training steps on request.

Both sides say ``{"parameters": n}`` when they are ready, are asked for a number of steps, and
answer ``{"seconds": s, "loss": nats a label}``; see `benchmarks.worker`.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Any

import tensorflow as tf

from benchmarks.train.job import SHAPES, training_job
from benchmarks.worker_loop import serve
from pipelines.training.loop import Training


def main(
    directory: str, shape: str, vocabulary_size: str, threads: str, precision: str
) -> None:
    """Serve steps; the arguments are those of `benchmarks.train.measure.ours`."""
    tf.config.threading.set_intra_op_parallelism_threads(int(threads))
    tf.config.threading.set_inter_op_parallelism_threads(int(threads))

    def prepare() -> tuple[dict[str, Any], Callable[[int], dict[str, Any]]]:
        job = training_job(
            next(each for each in SHAPES if each.name == shape),
            int(vocabulary_size),
            Path(directory),
            precision=precision,
        )
        training = Training(job)
        stack.enter_context(training.execution.running())
        steps = training.steps(0)

        def make_steps(count: int) -> dict[str, Any]:
            started = time.perf_counter()
            nats = labels = 0.0
            for _, batch_nats, batch_labels in islice(steps, count):
                nats += float(batch_nats)
                labels += float(batch_labels)
            return {"seconds": time.perf_counter() - started, "loss": nats / labels}

        return {"parameters": training.model.count_params()}, make_steps

    with ExitStack() as stack:
        serve(prepare)


if __name__ == "__main__":
    main(*sys.argv[1:])
