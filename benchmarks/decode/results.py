"""The results, from which the page and the plot are made; stored as JSON beside them."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.command import read_results, write_results
from benchmarks.decode.cases import Case
from benchmarks.environment import Machine


@dataclass(frozen=True)
class Measured:
    """One engine at one point.

    Attributes:
      seconds: of each turn; empty where the engine failed.
      equal_ids: share of its ids that equal those of transformers, at the same positions; None
        if one of them failed.
      failure: why there is no time; empty if there is one.
    """

    seconds: tuple[float, ...] = ()
    equal_ids: float | None = None
    failure: str = ""


@dataclass(frozen=True)
class ShapeResults:
    """One shape, measured in one go.

    Attributes:
      machine: that it was measured on.
      threads: that each engine computed with.
      busy: share of the cores' time that other processes took, between points, at most; None
        where the system does not tell. Engines whose threads spin suffer from them most.
      engines: what each engine is, by its name, in the order of the table.
      points: by engine, for each case.
    """

    machine: Machine
    threads: int
    busy: float | None
    engines: dict[str, str]
    points: dict[Case, dict[str, Measured]]

    def to_json(self) -> dict[str, Any]:
        return {
            "machine": self.machine.to_json(),
            "threads": self.threads,
            "busy": self.busy,
            "engines": self.engines,
            "points": [
                case.to_json() | {"engines": {k: asdict(v) for k, v in by_engine.items()}}
                for case, by_engine in self.points.items()
            ],
        }

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> ShapeResults:
        points = {}
        for point in values["points"]:
            engines = {
                name: Measured(**each | {"seconds": tuple(each["seconds"])})
                for name, each in point["engines"].items()
            }
            points[Case(point["batch"], point["ids_in"], point["ids_out"])] = engines
        return cls(
            machine=Machine.from_json(values["machine"]),
            threads=values["threads"],
            busy=values["busy"],
            engines=values["engines"],
            points=points,
        )


@dataclass(frozen=True)
class Results:
    """Everything in ``decode.json``; a shape that is measured again replaces its own part."""

    shapes: dict[str, ShapeResults] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path) -> Results:
        """What a file holds; nothing where there is no file.

        Raises:
          ValueError: another release of this benchmark wrote it.
        """
        if not path.exists():
            return cls()
        return read_results(
            path, cls.from_json, advice="Delete it, and measure all shapes again"
        )

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Results:
        return cls({name: ShapeResults.from_json(each) for name, each in values.items()})

    def save(self, path: Path) -> None:
        write_results(path, {name: each.to_json() for name, each in self.shapes.items()})
