"""The same calls without a server, as a worker: the SavedModel is called in the process that
loads it."""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import tensorflow as tf
import tensorflow_text  # noqa: F401  (registers the tokenizer's ops)

from benchmarks.serve.closed_loop import Load, run_threads
from benchmarks.serve.turn import report
from benchmarks.worker_loop import serve


def prepare() -> tuple[dict[str, Any], Callable[[Any], dict[str, Any]]]:
    parser = argparse.ArgumentParser()
    parser.add_argument("--texts", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--threads", type=int, required=True)
    arguments = parser.parse_args()
    texts = json.loads(arguments.texts.read_text(encoding="utf-8"))
    tf.config.threading.set_intra_op_parallelism_threads(arguments.threads)
    tf.config.threading.set_inter_op_parallelism_threads(arguments.threads)
    model = tf.saved_model.load(str(arguments.model))

    def call(batch: Sequence[str]) -> dict[str, np.ndarray]:
        # By way of the model, as the signature alone does not keep its variables.
        outputs = model.signatures["serving_default"](text=tf.constant(batch))
        return {name: tensor.numpy() for name, tensor in outputs.items()}

    def answer(request: dict[str, Any]) -> dict[str, Any]:
        load = Load(**request["load"])
        first = call(next(load.batches(texts)))
        before = time.process_time()
        spans = run_threads(call, load, texts)
        return report(spans, load, time.process_time() - before, first)

    return {"about": f"TensorFlow {tf.__version__}"}, answer


if __name__ == "__main__":
    serve(prepare)
