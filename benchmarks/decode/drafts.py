"""What drafts save on a trained model's own documents, or cost where nothing copies.

    python -m benchmarks.decode.drafts VERSION CORPUS
    python -m benchmarks.decode.drafts --shape t5-small

VERSION is a version that the pipeline pushed, CORPUS the folder of its corpus; a shape has
random weights, which copy nothing. The same weights are exported with different numbers of
drafted ids; all of them decode each batch of documents in turns, in an order that rotates, in
TensorFlow's C++ session. Exit code 1 where ids differ.
"""

from __future__ import annotations

import argparse
import itertools
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import tensorflow as tf

from benchmarks.decode.cases import LARGEST_BATCH, SHAPES, Case, inputs, own_ids
from benchmarks.decode.pushed_version import open_version
from benchmarks.decode.subject import BUILD, load_keras_model, make_subject, open_subject
from benchmarks.environment import machine, usable_cores
from benchmarks.markdown import table
from benchmarks.peers import ENGINES
from benchmarks.session import SignatureRunner
from pipelines.models.architecture import Architecture
from pipelines.models.decoding import Decoder
from pipelines.models.families import serving_graph
from pipelines.models.kernels import STORAGES, Storage
from pipelines.models.shapes import CompiledShapes

_RANDOM: Final = Case(LARGEST_BATCH, 128, 32)


def main() -> int:
    """Measure, and print a table."""
    arguments = _arguments()
    model, architecture, rows = _subject(arguments)
    shapes = None
    if arguments.xla:
        widths = (architecture.encoder_length,)
        shapes = CompiledShapes.of(architecture, sorted(arguments.rows), widths)
    storage = STORAGES[arguments.weights]
    with tempfile.TemporaryDirectory() as directory:
        runs = {
            drafted: _export(
                Path(directory, str(drafted)),
                model,
                architecture,
                storage=storage,
                shapes=shapes,
                drafted=drafted,
                most_rows=max(arguments.rows),
            )
            for drafted in arguments.draft_tokens
        }
        measured = {
            batch: _measure(runs, rows, batch, architecture) for batch in sorted(arguments.rows)
        }
    first, *others = arguments.draft_tokens
    cells = [
        (
            batch,
            f"{ms[first]:.2f}",
            *(f"{ms[each]:.2f} ({ms[first] / ms[each]:.2f})" for each in others),
        )
        for batch, (ms, _) in measured.items()
    ]
    header = ("rows", *(f"{each} drafted" for each in arguments.draft_tokens))
    export = f"XLA export, {arguments.weights}" if arguments.xla else "default export"
    print(f"Milliseconds a document (speed against the first column), {export}, {machine()}.\n")
    print(table(header, cells))
    different = sum(count for _, count in measured.values())
    print(f"{len(rows)} documents; {different} outputs differ from those of the first column.")
    return 1 if different else 0


def _subject(
    arguments: argparse.Namespace,
) -> tuple[keras.Model, Architecture, list[list[int]]]:
    """The model, its architecture, and the callers' ids of each row."""
    if not arguments.shape:
        return open_version(arguments.version, arguments.corpus, arguments.documents)
    shape = SHAPES[arguments.shape]
    directory = make_subject(shape, ENGINES.python(arguments.peers), BUILD)
    checkpoint, architecture = open_subject(shape, directory)
    limits = replace(
        architecture,
        max_input_tokens=_RANDOM.ids_in - len(shape.start_ids) - 1,
        max_output_tokens=_RANDOM.ids_out,
    )
    rows = itertools.cycle(own_ids(shape, inputs(shape, _RANDOM)).tolist())
    documents = list(itertools.islice(rows, arguments.documents))
    return load_keras_model(checkpoint, limits), limits, documents


def _export(
    target: Path,
    model: keras.Model,
    architecture: Architecture,
    *,
    storage: Storage,
    shapes: CompiledShapes | None,
    drafted: int,
    most_rows: int,
) -> SignatureRunner:
    graph = serving_graph(model, architecture, storage)
    decoder = Decoder(
        graph, architecture, xla=shapes, draft_tokens=drafted, drafted_rows=most_rows
    )
    module = tf.Module()
    module.decoder = decoder

    @tf.function(input_signature=decoder.generate.input_signature, autograph=False)
    def serve(ids: tf.Tensor, length: tf.Tensor, limit: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"written": decoder.generate(ids, length, limit)}

    module.serve = serve
    tf.saved_model.save(module, str(target), signatures={"serving_default": serve})
    return SignatureRunner(target, threads=usable_cores())


def _measure(
    runs: dict[int, SignatureRunner],
    rows: Sequence[Sequence[int]],
    batch: int,
    architecture: Architecture,
) -> tuple[dict[int, float], int]:
    """Milliseconds a document by number of drafted ids, and how many outputs differ."""
    seconds = dict.fromkeys(runs, 0.0)
    order = list(runs)
    different = 0
    for round_, start in enumerate(range(-batch, len(rows) - batch + 1, batch)):
        # The first one is computed twice, and not counted the first time.
        part = rows[max(start, 0) : max(start, 0) + batch]
        length = np.array([len(row) for row in part], "int32")
        ids = np.full((batch, architecture.max_input_tokens), architecture.pad_id, "int32")
        for row, own in zip(ids, part, strict=True):
            row[: len(own)] = own
        written = {}
        for each in order[round_ % len(order) :] + order[: round_ % len(order)]:
            started = time.perf_counter()
            written[each] = runs[each](
                input_ids=ids, input_length=length, max_output_tokens=np.zeros_like(length)
            )["written"].tolist()
            seconds[each] += (time.perf_counter() - started) * (start >= 0)
        if start >= 0:
            expected = written[order[0]]
            for each in order[1:]:
                pairs = zip(expected, written[each], strict=True)
                different += sum(one != other for one, other in pairs)
    counted = len(rows) // batch * batch
    return {each: 1e3 * spent / counted for each, spent in seconds.items()}, different


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.decode.drafts", description=__doc__
    )
    parser.add_argument("version", type=Path, nargs="?")
    parser.add_argument("corpus", type=Path, nargs="?")
    parser.add_argument("--shape", choices=list(SHAPES), help="instead of a version")
    ENGINES.add_option(parser)
    parser.add_argument("--rows", type=int, nargs="+", default=[1, 4, 8])
    parser.add_argument("--draft-tokens", type=int, nargs="+", default=[0, 1, 2, 3, 4, 6])
    parser.add_argument("--documents", type=int, default=256)
    parser.add_argument("--xla", action="store_true", help="measure the XLA export")
    parser.add_argument("--weights", choices=list(STORAGES), default="float32")
    arguments = parser.parse_args()
    if arguments.weights == "int8" and not arguments.xla:
        parser.error("--weights int8 needs --xla, as the export does")
    if (arguments.corpus is None) != bool(arguments.shape):
        parser.error("expected: VERSION and CORPUS, or --shape")
    return arguments


if __name__ == "__main__":
    sys.exit(main())
