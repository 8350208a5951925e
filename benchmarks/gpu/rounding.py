"""How far rounding moves a decision, by arithmetic: what the search's margin must cover.

A decision is in doubt when the best logit leads the second by less than a share of itself. The
same ids are read by the decoder in a batch, alone, in the shape that decides for good, and on
the CPU; what is compared is that lead of the CPU's two best ids.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from benchmarks.decode.cases import SHAPES
from benchmarks.decode.subject import load_keras_model, open_subject
from benchmarks.gpu.child import Report
from benchmarks.gpu.decode_rows import rows_of
from pipelines.models import attention, kernels
from pipelines.models.decoder import Seq2SeqGraph
from pipelines.models.families import serving_graph

_IDS_IN = 128
_AGAIN = 4  # rows that are decided again at a time


def measure(
    report: Report,
    directory: str,
    shape: str,
    rows: int = 64,
    alone: int = 8,
    steps: int = 16,
    device: str = "GPU:0",
) -> dict[str, Any]:
    """Read the same ids in several shapes.

    Args:
      directory: of the shape's Hugging Face folder.
      shape: name of a `benchmarks.decode` shape.
      rows: of the batch.
      alone: how many of them are read alone, too.
      steps: ids of each answer that are read.
      device: what is compared with the CPU.

    Returns:
      For each of ``float32``, ``tf32`` and ``bfloat16`` the largest change of a lead between
      the batch and the row alone, and between the device and the CPU; and whether a row's
      leads are the same bits at each place of a group of four.
    """
    of = SHAPES[shape]
    checkpoint, architecture = open_subject(of, Path(directory))
    model = load_keras_model(checkpoint, architecture)
    with tf.device("CPU:0"):
        graph = serving_graph(model, architecture)
        packed = tf.constant(rows_of(of, rows, _IDS_IN).astype(np.int32))
        written, pair, expected = _greedy(graph, architecture, packed, steps)
    read_by = (packed, written, pair)
    found: dict[str, Any] = {"rows": rows, "steps": steps}
    with tf.device(device):
        graph = serving_graph(model, architecture)
    for arithmetic in ("float32", "tf32", "bfloat16"):
        tf.config.experimental.enable_tensor_float_32_execution(arithmetic == "tf32")
        with tf.device(device), _products(arithmetic):
            signature = [tf.TensorSpec([None, *x.shape[1:]], tf.int32) for x in read_by]
            read = tf.function(
                lambda *rows: _leads(graph, *rows),
                input_signature=signature,
                autograph=False,
            )

            def leads(rows: list[int], read: Any = read) -> np.ndarray:
                return np.asarray(read(*(tf.gather(x, rows) for x in read_by)))

            together = leads(list(range(rows)))
            single = np.concatenate([leads([row]) for row in range(alone)])
            # The first row at each place, beside other rows each time.
            places = [[1 + place, 5, 6, 7] for place in range(_AGAIN)]
            for place, group in enumerate(places):
                group[place] = 0
            at_places = [leads(group)[place] for place, group in enumerate(places)]
        found[arithmetic] = {
            "batch_and_alone": _largest(together[:alone], single),
            "batch_and_alone_99": _share(together[:alone], single),
            "device_and_cpu": _largest(together, expected),
            "device_and_cpu_99": _share(together, expected),
            "same_bits_at_each_place": all(
                np.array_equal(at_places[0], other) for other in at_places[1:]
            ),
        }
        report(found)
    return found


def _greedy(
    graph: Seq2SeqGraph, architecture: Any, packed: tf.Tensor, steps: int
) -> tuple[tf.Tensor, tf.Tensor, np.ndarray]:
    """Ids read at each step, the two best ids of each, and their leads."""
    memory = graph.encode(packed, tf.fill([len(packed)], packed.shape[1]))
    cache = graph.empty_cache(tf.constant(len(packed)), tf.constant([steps]), steps)
    step = tf.function(graph.step, autograph=False)
    ids = tf.fill([len(packed)], architecture.decoder_start_id)
    read, pairs, leads = [], [], []
    for position in range(steps):
        read.append(ids)
        logits, cache = step(ids, tf.constant(position), cache, memory)
        values, best = tf.math.top_k(logits, 2)
        pairs.append(best)
        leads.append((values[:, 0] - values[:, 1]) / tf.maximum(tf.abs(values[:, 0]), 1.0))
        ids = best[:, 0]
    return tf.stack(read, 1), tf.stack(pairs, 1), tf.stack(leads, 1).numpy()


def _leads(
    graph: Seq2SeqGraph, packed: tf.Tensor, written: tf.Tensor, pair: tf.Tensor
) -> tf.Tensor:
    """The lead of the first of two ids over the second at each step, ``[rows, steps]``."""
    rows, steps = tf.shape(written)[0], written.shape[1]
    memory = graph.encode(packed, tf.fill([rows], tf.shape(packed)[1]))
    cache = graph.empty_cache(rows, tf.constant([steps]), steps)
    leads = []
    for position in range(steps):
        logits, cache = graph.step(written[:, position], tf.constant(position), cache, memory)
        two = tf.gather(logits, pair[:, position], axis=1, batch_dims=1)
        leads.append((two[:, 0] - two[:, 1]) / tf.maximum(tf.abs(two[:, 0]), 1.0))
    return tf.stack(leads, axis=1)


@contextmanager
def _products(arithmetic: str) -> Iterator[None]:
    """Inside, graphs that are traced multiply weights in bfloat16, if that is asked for."""
    if arithmetic != "bfloat16":
        yield
        return
    exact = attention.dense

    def dense(x: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor | None = None) -> tf.Tensor:
        x, kernel = (tf.cast(each, tf.bfloat16) for each in (x, tf.convert_to_tensor(kernel)))
        product = tf.cast(exact(x, kernel), tf.float32)
        return product if bias is None else product + bias

    vars(kernels)["dense"] = dense
    try:
        yield
    finally:
        vars(kernels)["dense"] = exact


def _largest(x: np.ndarray, y: np.ndarray) -> float:
    return float(np.abs(x - y).max())


def _share(x: np.ndarray, y: np.ndarray) -> float:
    """What 99 of 100 changes are below."""
    return float(np.quantile(np.abs(x - y), 0.99))
