"""Our exported graph in TensorFlow's C++ session, as TF Serving runs it.

Variant: ``default``, ``xla`` or ``int8`` (which is compiled, too). ``default-3`` drafts three
ids in a step of a single row, and ``int8-3``, too; without a number they draft none.
"""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import tensorflow as tf

from benchmarks.decode.cases import SHAPES, Rows, Shape, own_ids, shape_of
from benchmarks.decode.engine_loop import Generate, Ids, Job, run_engine
from benchmarks.decode.subject import load_keras_model, open_subject
from benchmarks.session import SignatureRunner
from benchmarks.worker import ROOT
from pipelines.models.decoding import Decoder
from pipelines.models.families import serving_graph
from pipelines.models.kernels import FLOAT32, INT8
from pipelines.models.shapes import CompiledShapes

# What the XLA export is compiled for; `inputs` are 128 or 512 ids wide.
_ROWS: Final[tuple[int, ...]] = (1, 8, 32, 64)
_WIDTHS: Final[tuple[int, ...]] = (128,)
# A trained model's rows have any width, those that the pipeline compiles by default, and end at
# different steps: four rows are what is left of eight.
_ROWS_OF_TRAINED: Final[tuple[int, ...]] = (1, 4, 8)
_WIDTHS_OF_TRAINED: Final[tuple[int, ...]] = ()
_KINDS = {
    "default": "the default export",
    "xla": "the XLA export",
    "int8": "the XLA export in int8",
}


def has_xla_variant() -> bool:
    """Whether there is a jitted export."""
    return "xla" in inspect.signature(Decoder.__init__).parameters


def export(shape: Shape, directory: Path, variant: str) -> None:
    """Write a SavedModel with the signature ``ids, length, limit`` → ``written``.

    The default one also says which rows have a decision ``in_doubt``.
    """
    checkpoint, architecture = open_subject(shape, directory)
    kind, _, drafts = variant.partition("-")
    storage = INT8 if kind == "int8" else FLOAT32
    graph = serving_graph(load_keras_model(checkpoint, architecture), architecture, storage)
    rows, widths = _ROWS, _WIDTHS
    if shape.name not in SHAPES:
        rows, widths = _ROWS_OF_TRAINED, _WIDTHS_OF_TRAINED
    shapes = CompiledShapes.of(architecture, rows, widths) if kind != "default" else None
    drafted = int(drafts or 0)
    decoder = Decoder(graph, architecture, xla=shapes, draft_tokens=drafted)
    module = tf.Module()
    module.decoder = decoder

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, None], tf.int32, name="ids"),
            tf.TensorSpec([None], tf.int32, name="length"),
            tf.TensorSpec([None], tf.int32, name="limit"),
        ],
        autograph=False,
    )
    def serve(ids: tf.Tensor, length: tf.Tensor, limit: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"written": decoder.generate(ids, length, limit)}

    @tf.function(input_signature=serve.input_signature[:2], autograph=False)
    def in_doubt(ids: tf.Tensor, length: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"in_doubt": decoder.in_doubt(ids, length)}

    module.serve, module.in_doubt = serve, in_doubt
    signatures = {"serving_default": serve}
    if variant == "default":
        signatures["in_doubt"] = in_doubt
    tf.saved_model.save(module, str(saved_model(directory, variant)), signatures=signatures)


def load(job: Job) -> tuple[str, Generate]:
    # In a process that ends, so that what it needed for exporting is gone when it is timed.
    # Never kept from another run: it is today's code that is measured.
    command = [sys.executable, "-m", "benchmarks.decode.engine_tallygraph", "export"]
    arguments = [job.shape_argument, str(job.directory), job.variant]
    subprocess.run([*command, *arguments], check=True, cwd=ROOT, stdout=sys.stderr)
    run = SignatureRunner(saved_model(job.directory, job.variant), threads=job.threads)

    special = len(job.shape.start_ids) + 1

    def generate(rows: Rows, ids_out: int) -> Ids:
        ids = own_ids(job.shape, rows.ids).astype(np.int32)
        answer = run(
            ids=ids,
            length=(rows.length - special).astype(np.int32),
            limit=np.full(len(ids), ids_out, np.int32),
        )
        return answer["written"]

    kind, _, drafts = job.variant.partition("-")
    drafting = f" with draft_tokens = {drafts}" if drafts else ""
    about = f"tallygraph, {_KINDS[kind]}{drafting}, in a session of TensorFlow {tf.__version__}"
    return about, generate


def saved_model(directory: Path, variant: str) -> Path:
    """Where a shape's export is."""
    return directory / f"saved_model_{variant}"


if __name__ == "__main__":
    if sys.argv[1] == "export":
        export(shape_of(sys.argv[2]), Path(sys.argv[3]), sys.argv[4])
    else:
        run_engine(load)
