"""The results, from which the page is made; stored as JSON beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.command import read_results, write_results
from benchmarks.environment import Machine

DIRECT, DIRECT_CHAT = "stub, TF Serving's API", "stub, OpenAI's API"
SQLITE, POSTGRESQL = "Tallygraph, SQLite", "Tallygraph, PostgreSQL"
SATURATED = 16
"""So many clients keep a gateway's one process busy all the time."""
LITELLM = "LiteLLM, no database"
# By whom each is asked when nothing is between.
BASE = {SQLITE: DIRECT, POSTGRESQL: DIRECT, LITELLM: DIRECT_CHAT}


@dataclass(frozen=True)
class Measured:
    """One way to call at one point.

    Attributes:
      rates: requests a second, of each turn.
      p50s_ms, p99s_ms: of the time to an answer, of each turn.
      requests: that were counted, in all turns.
      cpu_ms: processor time a request of the process that is measured, of each turn; empty
        where there is none.
      client_ms: of the clients' process, in the same way.
      database_ms: of its database's server, in the same way.
    """

    rates: tuple[float, ...]
    p50s_ms: tuple[float, ...]
    p99s_ms: tuple[float, ...]
    requests: int
    client_ms: tuple[float, ...]
    cpu_ms: tuple[float, ...] = ()
    database_ms: tuple[float, ...] = ()

    @classmethod
    def of_turns(cls, turns: Sequence[dict[str, Any]]) -> Measured:
        """Put a worker's answers together."""
        # Inverted: a time that some request did take, never one between two.
        cuts = [
            np.percentile(turn["seconds"], (50, 99), method="inverted_cdf") * 1e3
            for turn in turns
        ]
        return cls(
            rates=tuple(turn["rate"] for turn in turns),
            p50s_ms=tuple(float(p50) for p50, _ in cuts),
            p99s_ms=tuple(float(p99) for _, p99 in cuts),
            requests=sum(len(turn["seconds"]) for turn in turns),
            client_ms=tuple(turn["processor"] * 1e3 for turn in turns),
            cpu_ms=tuple(turn["cpu_ms"] for turn in turns if "cpu_ms" in turn),
            database_ms=tuple(turn["database_ms"] for turn in turns if "database_ms" in turn),
        )

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Measured:
        of_turns = {name: tuple(each) for name, each in values.items() if name != "requests"}
        return cls(requests=values["requests"], **of_turns)


@dataclass(frozen=True)
class Point:
    """The load at a point.

    Attributes:
      clients: at the same time.
      delay_ms: that the stub takes for each answer.
    """

    clients: int
    delay_ms: float


@dataclass(frozen=True)
class Results:
    """Everything in ``gateway.json``.

    Attributes:
      machine: that it was measured on.
      versions: of both sides, and of what they run on.
      busy: share of the cores' time that other processes took while a point was measured, at
        the worst one.
      points: by how it was asked: by way to ask.
    """

    machine: Machine
    versions: str
    busy: float
    points: dict[Point, dict[str, Measured]]

    def save(self, path: Path) -> None:
        values = {
            "machine": self.machine.to_json(),
            "versions": self.versions,
            "busy": self.busy,
            "points": [
                asdict(point) | {"ways": {way: asdict(each) for way, each in ways.items()}}
                for point, ways in self.points.items()
            ],
        }
        write_results(path, values)

    @classmethod
    def load(cls, path: Path) -> Results:
        """What a file holds.

        Raises:
          ValueError: there is none, or another release of this benchmark wrote it.
        """
        return read_results(path, cls.from_json, advice="Measure again: leave --render out")

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Results:
        points = {
            Point(each["clients"], each["delay_ms"]): {
                way: Measured.from_json(measured) for way, measured in each["ways"].items()
            }
            for each in values["points"]
        }
        machine = Machine.from_json(values["machine"])
        return cls(machine, values["versions"], values["busy"], points)
