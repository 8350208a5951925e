"""Decoding by an export of ours, in TensorFlow's C++ session."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from benchmarks.decode.cases import SHAPES, own_ids
from benchmarks.decode.engine_tallygraph import saved_model
from benchmarks.environment import usable_cores
from benchmarks.gpu.child import Report, timings
from benchmarks.gpu.decode_rows import rows_of
from benchmarks.session import SignatureRunner


def measure(
    report: Report, directory: str, shape: str, variant: str, cases: list[list[Any]]
) -> dict[str, Any]:
    """Decode.

    Args:
      directory: of the shape's exports.
      shape: name of a `benchmarks.decode` shape.
      variant: ``default`` or ``xla``.
      cases: arithmetic (``tf32`` or ``float32``), rows, ids in, ids out.

    Returns:
      ``cases``: for each its timings, its ``ids`` and, by the default export, how many rows
      were ``decided_again``.
    """
    of = SHAPES[shape]
    folder = saved_model(Path(directory), variant)
    run = SignatureRunner(folder, threads=usable_cores())
    doubt = None
    if variant == "default":
        doubt = SignatureRunner(folder, threads=usable_cores(), signature="in_doubt")
    found: dict[str, Any] = {"cases": []}
    for arithmetic, batch, ids_in, ids_out in cases:
        tf.config.experimental.enable_tensor_float_32_execution(arithmetic == "tf32")
        ids = own_ids(of, rows_of(of, batch, ids_in)).astype(np.int32)
        length = np.full(batch, ids.shape[1], np.int32)
        limit = np.full(batch, ids_out, np.int32)
        case: dict[str, Any] = {"arithmetic": arithmetic, "case": [batch, ids_in, ids_out]}
        try:
            case |= timings(lambda: run(ids=ids, length=length, limit=limit))  # noqa: B023
            case["ids"] = run(ids=ids, length=length, limit=limit)["written"].tolist()
            if doubt:
                case["decided_again"] = int(doubt(ids=ids, length=length)["in_doubt"].sum())
        except tf.errors.OpError as error:
            case["error"] = f"{type(error).__name__}: {error.message[:300]}"
        found["cases"].append(case)
        report(found)
    return found
