"""Common code of all engines: an engine times its own calls, one for each request.

Runs in both environments: imports only NumPy and the standard library.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.decode.cases import SHAPES, Case, Shape, inputs
from benchmarks.worker_loop import serve

Ids = npt.NDArray[np.int64]
# Rows as the encoder reads them and ids to write → ids written, without the start.
Generate = Callable[[Ids, int], Ids]


@dataclass(frozen=True)
class Job:
    """The description of an engine's job.

    Attributes:
      shape: of the model.
      directory: of `benchmarks.decode.subject.make_subject`.
      threads: to compute with.
      variant: of the engine; what it means is the engine's.
    """

    shape: Shape
    directory: Path
    threads: int
    variant: str

    def arguments(self) -> list[str]:
        return [
            f"--shape={self.shape.name}",
            f"--directory={self.directory}",
            f"--threads={self.threads}",
            f"--variant={self.variant}",
        ]


def run_engine(load: Callable[[Job], tuple[str, Generate]]) -> None:
    """Serve an engine as a worker.

    Args:
      load: loads the model; returns what the engine is, with releases, and how it generates.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--shape", type=SHAPES.__getitem__, required=True)
    parser.add_argument("--directory", type=Path, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--variant", default="")
    job = Job(**vars(parser.parse_args()))

    def prepare() -> tuple[dict[str, Any], Callable[[Any], dict[str, Any]]]:
        about, generate = load(job)

        def answer(request: dict[str, int]) -> dict[str, Any]:
            case = Case(**request)
            rows = inputs(job.shape, case)
            started = time.perf_counter()
            written = generate(rows, case.ids_out)
            seconds = time.perf_counter() - started
            written = np.asarray(written)
            if written.shape != (case.batch, case.ids_out):
                raise ValueError(
                    f"wrote other ids than asked. Expected: {case.batch} rows of "
                    f"{case.ids_out}. Received: {list(written.shape)}"
                )
            return {"seconds": seconds, "ids": written.tolist()}

        return {"about": about}, answer

    serve(prepare)
