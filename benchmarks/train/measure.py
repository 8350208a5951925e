"""Runs the sides in turns, each in a separate process that waits while another computes."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any, Self

from benchmarks.timings import moved_on
from benchmarks.train.job import Shape
from benchmarks.worker import Worker

LOGS = Path("build/benchmarks/train/logs")


@dataclass(frozen=True)
class Result:
    """One side's speed with one shape.

    Attributes:
      shape, engine: what was measured.
      parameters: of the model.
      examples_per_s: of each round.
      loss: nats a label in the last round; a side that does not learn is not compared.
    """

    shape: str
    engine: str
    parameters: int
    examples_per_s: tuple[float, ...]
    loss: float

    @property
    def median(self) -> float:
        return median(self.examples_per_s)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        return cls(**values | {"examples_per_s": tuple(values["examples_per_s"])})


def ours(
    shape: Shape, directory: Path, vocabulary_size: int, threads: int, precision: str
) -> Worker:
    """Our training loop; see `benchmarks.train.engine`."""
    arguments = [str(directory), shape.name, str(vocabulary_size), str(threads), precision]
    command = [sys.executable, "-m", "benchmarks.train.engine", *arguments]
    return _worker(f"tallygraph, {precision}", command)


def plain_torch(
    python: Path,
    shape: Shape,
    batches: Path,
    vocabulary_size: int,
    threads: int,
    precision: str,
) -> Worker:
    """A plain loop in the peers' environment; see `benchmarks.train.plain_torch`."""
    job = {
        "shape": asdict(shape),
        "batches": str(batches),
        "vocabulary_size": vocabulary_size,
        "threads": threads,
        "precision": precision,
    }
    padding = "the same batches" if batches.stem == "bucketed" else "padded to the longest row"
    command = [str(python), "-m", "benchmarks.train.plain_torch", json.dumps(job)]
    return _worker(f"PyTorch, {precision}, {padding}", command)


def _worker(name: str, command: Sequence[str]) -> Worker:
    return Worker(name, command, LOGS / f"{name.replace(', ', '-').replace(' ', '-')}.log")


def in_turns(
    sides: Sequence[Worker], shape: Shape, batch_size: int, steps: int, rounds: int
) -> list[Result]:
    """Run a round of each side, one after another, several times; the first is not counted."""
    by_name = {side.name: side for side in sides}
    speeds: dict[str, list[float]] = {name: [] for name in by_name}
    losses: dict[str, float] = {}
    for turn in range(rounds + 1):
        for name in moved_on(list(by_name), turn):
            answer = by_name[name].ask(steps)
            losses[name] = answer["loss"]
            if turn:
                speeds[name].append(steps * batch_size / answer["seconds"])
    return [
        Result(shape.name, name, side.ready["parameters"], tuple(speeds[name]), losses[name])
        for name, side in by_name.items()
    ]
