"""The results, from which the page and the plot are made; stored as JSON beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.command import read_results, write_results
from benchmarks.environment import Machine

IN_PROCESS = "in process"
UNBATCHED, BATCHED = "one by one", "batched"


@dataclass(frozen=True)
class Measured:
    """One way to call at one point.

    Attributes:
      rates: calls a second, of each turn.
      calls: that were counted, in all turns.
      p50_ms, p99_ms: of the time to an answer, of all turns together.
      asker_ms: processor time a call of the process that asks, the median turn's. For the
        calls in process this is all that they take.
    """

    rates: tuple[float, ...]
    calls: int
    p50_ms: float
    p99_ms: float
    asker_ms: float

    @classmethod
    def of_turns(cls, turns: Sequence[dict[str, Any]]) -> Measured:
        """Combine the results of a worker's turns."""
        seconds = [each for turn in turns for each in turn["seconds"]]
        # Inverted: a time that some call did take, never one between two.
        p50, p99 = np.percentile(seconds, (50, 99), method="inverted_cdf") * 1e3
        return cls(
            rates=tuple(turn["rate"] for turn in turns),
            calls=len(seconds),
            p50_ms=float(p50),
            p99_ms=float(p99),
            asker_ms=float(np.median([turn["processor"] for turn in turns])) * 1e3,
        )

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Measured:
        return replace(cls(**values), rates=tuple(values["rates"]))


@dataclass(frozen=True)
class Section:
    """Points that were measured in one go, on one model.

    Attributes:
      machine: that they were measured on.
      about: releases, and how the server was set up.
      threads: of TensorFlow, in the server as in the process without one.
      busy: share of the cores' time that other processes took, between points, at most; None
        where the system does not tell.
      points: by rows and clients: by way to ask.
    """

    machine: Machine
    about: str
    threads: int
    busy: float | None
    points: dict[tuple[int, int], dict[str, Measured]]

    def to_json(self) -> dict[str, Any]:
        return {
            "machine": self.machine.to_json(),
            "about": self.about,
            "threads": self.threads,
            "busy": self.busy,
            "points": [
                {"rows": rows, "clients": clients}
                | {"ways": {way: asdict(each) for way, each in ways.items()}}
                for (rows, clients), ways in self.points.items()
            ],
        }

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Section:
        points = {
            (point["rows"], point["clients"]): {
                way: Measured.from_json(each) for way, each in point["ways"].items()
            }
            for point in values["points"]
        }
        return cls(
            machine=Machine.from_json(values["machine"]),
            about=values["about"],
            threads=values["threads"],
            busy=values["busy"],
            points=points,
        )


@dataclass
class Results:
    """Everything in ``serve.json``; a section that is measured again replaces its own part.

    Attributes:
      throughput: against the calls in process, by model.
      batching: the summariser under many clients; None where not measured yet.
    """

    throughput: dict[str, Section] = field(default_factory=dict)
    batching: Section | None = None

    @classmethod
    def load(cls, path: Path) -> Results:
        """What a file holds; nothing where there is no file.

        Raises:
          ValueError: another release of this benchmark wrote it.
        """
        if not path.exists():
            return cls()
        return read_results(
            path, cls.from_json, advice="Delete it, and measure everything again"
        )

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Results:
        batching = values["batching"]
        return cls(
            {name: Section.from_json(each) for name, each in values["throughput"].items()},
            None if batching is None else Section.from_json(batching),
        )

    def save(self, path: Path) -> None:
        values = {
            "throughput": {name: each.to_json() for name, each in self.throughput.items()},
            "batching": self.batching and self.batching.to_json(),
        }
        write_results(path, values)
