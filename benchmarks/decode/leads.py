"""How far rounding moves decisions: the same row alone, in a batch, wider, drafted, and read.

    python -m benchmarks.decode.leads [--weights int8] [VERSION CORPUS]

A row must have the same answer alone and in any batch, so a decision whose lead rounding
could overcome is decided again (`pipelines.models.decoding`). This computes the logits behind
the same ids in each of the ways in which a row can be decoded, compiled by XLA, and prints
what differs between any two: how far the lead of the best id over each other one moves, and
the largest lead that does not decide the same id. `pipelines.models.kernels` has the margin
that must be above both; in int8 nothing moves. Without VERSION, a version that the pipeline
pushed, weights are random.
"""

from __future__ import annotations

import argparse
import itertools
import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from benchmarks.decode.pushed_version import open_version
from benchmarks.environment import machine
from benchmarks.markdown import table
from pipelines.models.architecture import Architecture
from pipelines.models.decoder import Memory, Seq2SeqGraph
from pipelines.models.decoding import Decoder
from pipelines.models.families import build_model, serving_graph
from pipelines.models.kernels import STORAGES
from pipelines.models.shapes import CompiledShapes

BATCH: Final = 16
_ODD: Final = 5
_CONTENDERS: Final = 0.5  # ids that are further behind the best one do not count
_MARGINS: Final = (1e-3, 3e-3, 1e-2, 2e-2, 3e-2, 5e-2, 1e-1)

Ids = npt.NDArray[np.int32]
Logits = npt.NDArray[np.float32]
Rows = tuple[Ids, Ids, Ids]  # packed, their length, and what each of them writes


def main() -> None:
    """Measure, and print tables."""
    arguments = _arguments()
    model, architecture, texts = _subject(arguments)
    storage = STORAGES[arguments.weights]
    graph = serving_graph(model, architecture, storage)
    shapes = CompiledShapes.of(architecture, (1, _ODD, BATCH))
    decoder = Decoder(graph, architecture, xla=shapes)
    rows = _written(decoder, texts, architecture)
    ways = _ways(graph, architecture, rows)
    print(f"\n{arguments.weights}, {len(texts)} rows, {machine()}\n")
    own = rows[2] != architecture.pad_id
    compared = [
        (f"{first}, {second}", *_moved(ways[first], ways[second], own))
        for first, second in itertools.combinations(ways, 2)
    ]
    header = (
        "ways",
        "equal bits",
        "99 %",
        "99.9 %",
        "largest",
        "largest lead that did not hold",
    )
    print(table(header, compared))
    lead = _lead(ways["alone"])
    cells = [
        (
            f"{margin:g}",
            f"{(lead < margin)[own].mean():.2%}",
            f"{((lead < margin) & own).any(axis=1).mean():.1%}",
        )
        for margin in _MARGINS
    ]
    print(table(("margin", "decisions below it", "rows with one"), cells))


def _ways(graph: Seq2SeqGraph, architecture: Architecture, rows: Rows) -> dict[str, Logits]:
    """Logits ``[rows, steps, vocabulary]`` by the way of computing them."""
    packed, length, written = rows
    start = np.full((len(packed), 1), architecture.decoder_start_id, "int32")
    before = np.concatenate([start, written[:, :-1]], axis=1)
    widths = CompiledShapes.of(architecture, (1,)).widths

    def compute(
        steps: Callable[[Memory, tf.Tensor], tf.Tensor], size: int, widest: bool = False
    ) -> Logits:
        @tf.function(jit_compile=True, autograph=False)
        def logits(packed: tf.Tensor, length: tf.Tensor, before: tf.Tensor) -> tf.Tensor:
            return steps(graph.encode(packed, length), before)

        found = []
        for i in range(0, len(packed), size):
            here = [(i + each) % len(packed) for each in range(size)]
            longest = widths[-1] if widest else length[here].max()
            width = next(each for each in widths if each >= longest)
            part = np.full((size, width), architecture.pad_id, "int32")
            part[:, : packed.shape[1]] = packed[here][:, :width]
            found.append(logits(part, length[here], before[here]).numpy()[:size])
        return np.concatenate(found)[: len(packed)]

    stepping = _Stepping(graph, architecture)
    return {
        "alone": compute(stepping.one_by_one, 1),
        f"{_ODD} together": compute(stepping.one_by_one, _ODD),
        f"{BATCH} together": compute(stepping.one_by_one, BATCH),
        "widest": compute(stepping.one_by_one, 1, widest=True),
        "1 drafted": compute(partial(stepping.drafted, drafted=1), 1),
        "3 drafted": compute(partial(stepping.drafted, drafted=3), 1),
        "read": compute(stepping.read, 1, widest=True),
    }


class _Stepping:
    """Computes the logits behind ids that are known, as searches do."""

    def __init__(self, graph: Seq2SeqGraph, architecture: Architecture) -> None:
        self._graph = graph
        self._steps = architecture.decoder_length
        self._vocabulary = architecture.vocabulary_size

    def one_by_one(self, memory: Memory, before: tf.Tensor) -> tf.Tensor:
        """A position at a time; a row alone as often as greedy search does it."""
        copies = self._graph.storage.fewest_rows if before.shape[0] == 1 else 1
        memory = self._graph.rows_of_memory(
            memory, tf.range(before.shape[0] * copies) // copies
        )
        before = tf.repeat(before, copies, axis=0)
        rows = before.shape[0]
        cache = self._graph.empty_cache(tf.constant(rows), tf.constant([1]), self._steps)
        found = tf.TensorArray(tf.float32, self._steps, element_shape=[rows, self._vocabulary])

        def step(
            i: tf.Tensor, cache: tuple[tf.Tensor, ...], found: tf.TensorArray
        ) -> tuple[tf.Tensor, tuple[tf.Tensor, ...], tf.TensorArray]:
            logits, cache = self._graph.step(
                tf.gather(before, i, axis=1), i, type(empty)(cache), memory
            )
            return i + 1, cache.layers, found.write(i, logits)

        empty = cache
        *_, found = tf.while_loop(
            lambda i, *_: i < self._steps, step, (tf.constant(0), cache.layers, found)
        )
        return tf.transpose(found.stack(), [1, 0, 2])

    def drafted(self, memory: Memory, before: tf.Tensor, drafted: int) -> tf.Tensor:
        """Several positions at a time."""
        count, rows = drafted + 1, before.shape[0]
        turns = -(-self._steps // count)
        before = tf.pad(before, [[0, 0], [0, turns * count - self._steps]])
        cache = self._graph.empty_cache(tf.constant(rows), tf.constant([1]), self._steps)
        cache = self._graph.with_room(cache, tf.constant(rows), count)
        shape = [rows * count, self._vocabulary]
        found = tf.TensorArray(tf.float32, turns, element_shape=shape)

        def step(
            i: tf.Tensor, cache: tuple[tf.Tensor, ...], found: tf.TensorArray
        ) -> tuple[tf.Tensor, tuple[tf.Tensor, ...], tf.TensorArray]:
            ids = tf.gather(before, i * count + tf.range(count), axis=1)
            logits, cache = self._graph.steps(
                ids, tf.fill([rows], i * count), type(empty)(cache), memory
            )
            return i + 1, cache.layers, found.write(i, logits)

        empty = cache
        *_, found = tf.while_loop(
            lambda i, *_: i < turns, step, (tf.constant(0), cache.layers, found)
        )
        by_turn = tf.reshape(found.stack(), [turns, rows, count, self._vocabulary])
        by_row = tf.reshape(tf.transpose(by_turn, [1, 0, 2, 3]), [rows, -1, self._vocabulary])
        return by_row[:, : self._steps]

    def read(self, memory: Memory, before: tf.Tensor) -> tf.Tensor:
        """All positions in one pass, as doubtful rows are read."""
        logits = self._graph.read(before, memory)
        return tf.reshape(logits, [before.shape[0], self._steps, self._vocabulary])


def _lead(logits: Logits) -> npt.NDArray[np.float32]:
    two = np.partition(logits, -2, axis=-1)[..., -2:]
    lead = (two[..., 1] - two[..., 0]) / np.maximum(np.abs(two[..., 1]), np.float32(1.0))
    return lead.astype(np.float32)


def _moved(one: Logits, other: Logits, own: npt.NDArray[np.bool_]) -> Sequence[str]:
    """How far the leads in ``one`` are moved in ``other``, as shares of the best logit."""
    one, other = one[own], other[own]
    at = one.argmax(axis=-1)[:, np.newaxis]
    first = np.take_along_axis(one, at, axis=-1)
    size = np.maximum(np.abs(first), 1.0)
    leads = (first - one) / size
    there = (np.take_along_axis(other, at, axis=-1) - other) / size
    moves = np.where(leads < _CONTENDERS, np.abs(leads - there), 0.0).max(axis=-1)
    lost = _lead(one)[one.argmax(axis=-1) != other.argmax(axis=-1)]
    return (
        f"{(one == other).all(axis=-1).mean():.0%}",
        *(f"{np.quantile(moves, share):.1e}" for share in (0.99, 0.999)),
        f"{moves.max():.1e}",
        f"{lost.max():.1e} ({len(lost)} of {len(one)})" if len(lost) else "none",
    )


def _written(
    decoder: Decoder, texts: Sequence[Sequence[int]], architecture: Architecture
) -> Rows:
    """The rows as the encoder reads them, with what they write."""
    length = np.array([len(each) for each in texts], "int32")
    ids = np.full((len(texts), length.max()), architecture.pad_id, "int32")
    for row, own in zip(ids, texts, strict=True):
        row[: len(own)] = own
    packed, packed_length = decoder._pack(tf.constant(ids), tf.constant(length))
    limit = tf.fill([len(texts)], architecture.decoder_length)
    written, _ = decoder._search.search(packed, packed_length, limit)
    return packed.numpy(), packed_length.numpy(), written.numpy()


def _subject(
    arguments: argparse.Namespace,
) -> tuple[keras.Model, Architecture, list[list[int]]]:
    """A model, its architecture, and ids that it is asked for."""
    if arguments.version is None:
        return _random(arguments)
    return open_version(arguments.version, arguments.corpus, arguments.rows)


def _random(
    arguments: argparse.Namespace,
) -> tuple[keras.Model, Architecture, list[list[int]]]:
    width = arguments.d_model
    architecture = Architecture(
        family=arguments.family,
        vocabulary_size=4_000,
        d_model=width,
        num_layers=arguments.layers,
        num_heads=width // 32,
        d_ff=4 * width,
        max_input_tokens=120,
        max_output_tokens=32,
    )
    keras.utils.set_random_seed(1)
    model = build_model(architecture)
    random = np.random.default_rng(1)
    for variable in model.backbone.weights:
        if variable.path.endswith("kernel"):
            variable.assign(random.normal(0, 2 * width**-0.5, variable.shape))
    count = arguments.rows
    texts = [
        random.integers(3, 4_000, size).tolist() for size in random.integers(1, 121, count)
    ]
    return model, architecture, texts


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("version", type=Path, nargs="?")
    parser.add_argument("corpus", type=Path, nargs="?")
    parser.add_argument("--weights", choices=list(STORAGES), default="float32")
    parser.add_argument("--rows", type=int, default=128)
    parser.add_argument("--family", choices=["t5", "bart"], default="t5", help="if random")
    parser.add_argument("--d-model", type=int, default=256, help="if random")
    parser.add_argument("--layers", type=int, default=3, help="if random")
    arguments = parser.parse_args()
    if arguments.version is not None and arguments.corpus is None:
        parser.error("VERSION needs CORPUS, the folder of its corpus")
    return arguments


if __name__ == "__main__":
    main()
