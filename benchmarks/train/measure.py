"""Runs the sides in turns, each in a process of its own that waits while another computes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any, Self

from benchmarks.train.job import Shape

_ROOT = Path(__file__).parents[2]


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


class Side:
    """A process that makes training steps when it is told to; see `engine`."""

    def __init__(self, name: str, command: Sequence[str]) -> None:
        self.name = name
        self._process = subprocess.Popen(
            list(command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=_ROOT,
        )
        self.parameters = int(self._answer()["parameters"])

    def steps(self, count: int) -> dict[str, float]:
        """Make steps; ``seconds`` and ``loss``."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{count}\n")
        self._process.stdin.flush()
        return self._answer()

    def close(self) -> None:
        self._process.kill()
        self._process.wait()

    def _answer(self) -> dict[str, float]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(
                f"{self.name} ended with status {self._process.wait()}. Expected an answer; "
                "its error is above."
            )
        answer: dict[str, float] = json.loads(line)
        return answer


def ours(
    shape: Shape, directory: Path, vocabulary_size: int, threads: int, precision: str
) -> Side:
    arguments = [str(directory), shape.name, str(vocabulary_size), str(threads), precision]
    command = [sys.executable, "-m", "benchmarks.train.engine", *arguments]
    return Side(f"tallygraph, {precision}", command)


def plain_torch(
    python: Path,
    shape: Shape,
    batches: Path,
    vocabulary_size: int,
    threads: int,
    precision: str,
) -> Side:
    job = {
        "shape": asdict(shape),
        "batches": str(batches),
        "vocabulary_size": vocabulary_size,
        "threads": threads,
        "precision": precision,
    }
    script = str(Path(__file__).with_name("plain_torch.py"))
    padding = "the same batches" if batches.stem == "bucketed" else "padded to the longest row"
    return Side(f"PyTorch, {precision}, {padding}", [str(python), script, json.dumps(job)])


def in_turns(
    sides: Sequence[Side], shape: Shape, batch_size: int, steps: int, rounds: int
) -> list[Result]:
    """A round of each side after the other, several times; the first is not counted."""
    speeds: dict[str, list[float]] = {side.name: [] for side in sides}
    losses: dict[str, float] = {}
    for turn in range(rounds + 1):
        for side in sides:
            answer = side.steps(steps)
            losses[side.name] = answer["loss"]
            if turn:
                speeds[side.name].append(steps * batch_size / answer["seconds"])
    return [
        Result(
            shape.name, side.name, side.parameters, tuple(speeds[side.name]), losses[side.name]
        )
        for side in sides
    ]
