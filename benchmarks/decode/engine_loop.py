"""Common code of all engines: an engine times its own calls, one for each request.

Runs in both environments: imports only NumPy and the standard library.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.decode.cases import (
    SHAPE_FILE,
    SHAPES,
    Case,
    Rows,
    Shape,
    inputs,
    shape_of,
)
from benchmarks.worker_loop import serve

Ids = npt.NDArray[np.int64]
# Rows and the most ids to write → ids written, without the start; an array, or rows that may
# have different lengths. What is behind a row's EOS does not count.
Generate = Callable[[Rows, int], Ids | list[list[int]]]


@dataclass(frozen=True)
class Job:
    """The description of an engine's job.

    Attributes:
      shape: of the model.
      directory: of `benchmarks.decode.subject.make_subject`, or of a trained model.
      threads: to compute with.
      variant: of the engine; what it means is the engine's.
    """

    shape: Shape
    directory: Path
    threads: int
    variant: str

    @property
    def shape_argument(self) -> str:
        """What `shape_of` takes for the shape."""
        name = self.shape.name
        return name if name in SHAPES else str(self.directory / SHAPE_FILE)

    def arguments(self) -> list[str]:
        return [
            f"--shape={self.shape_argument}",
            f"--directory={self.directory}",
            f"--threads={self.threads}",
            f"--variant={self.variant}",
        ]


def run_engine(load: Callable[[Job], tuple[str, Generate]]) -> None:
    """Serve an engine as a worker.

    A request is a `Case`, or ``rows`` (lists of ids) with ``ids_out``, the most ids to write.

    Args:
      load: loads the model; returns what the engine is, with releases, and how it generates.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--shape", type=shape_of, required=True)
    parser.add_argument("--directory", type=Path, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--variant", default="")
    job = Job(**vars(parser.parse_args()))

    def prepare() -> tuple[dict[str, Any], Callable[[Any], dict[str, Any]]]:
        about, generate = load(job)

        def answer(request: dict[str, Any]) -> dict[str, Any]:
            given = "rows" in request
            if given:
                rows = Rows.of(request["rows"], job.shape.pad_id)
            else:
                ids = inputs(job.shape, Case(**request))
                rows = Rows(ids, np.full(len(ids), ids.shape[1]))
            started = time.perf_counter()
            written = generate(rows, request["ids_out"])
            seconds = time.perf_counter() - started
            if given:
                answers = [up_to_eos(row, job.shape.eos_id) for row in written]
            else:
                answers = _complete(written, Case(**request))
            return {"seconds": seconds, "ids": answers}

        return {"about": about}, answer

    serve(prepare)


def up_to_eos(row: Sequence[int] | Ids, eos_id: int) -> list[int]:
    """A row's ids up to and including its first EOS; all of them if it has none."""
    ids = np.asarray(row)
    ends = np.flatnonzero(ids == eos_id)
    found: list[int] = ids[: ends[0] + 1 if ends.size else None].tolist()
    return found


def _complete(written: Ids | list[list[int]], case: Case) -> list[list[int]]:
    ids = np.asarray(written)
    if ids.shape != (case.batch, case.ids_out):
        raise ValueError(
            f"wrote other ids than asked. Expected: {case.batch} rows of {case.ids_out}. "
            f"Received: {list(ids.shape)}"
        )
    rows: list[list[int]] = ids.tolist()
    return rows
