"""The results on a trained model; stored as JSON beside those on random weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final, Self

from benchmarks.command import read_results, write_results
from benchmarks.environment import Machine

COPIED_IDS: Final = 4


@dataclass(frozen=True)
class Summarised:
    """One engine with batches of so many rows.

    Attributes:
      seconds: of each batch, in the order of the batches; empty where the engine failed.
      equal_rows: rows with the very ids of the default export in float32; None if one of them
        failed.
      failure: why there is no time; empty if there is one.
    """

    seconds: tuple[float, ...] = ()
    equal_rows: int | None = None
    failure: str = ""


@dataclass(frozen=True)
class Batches:
    """Engines with the same batches.

    Attributes:
      rows: documents that are summarised together.
      count: of batches.
      ids_in: of a document, special ids included; mean.
      ids_out: of a summary of the default export, EOS included; mean. None where it failed.
      copied: the share of these summaries' sequences of `COPIED_IDS` ids that are in their
        documents, too; None where it failed or no summary has so many ids.
      engines: by name.
    """

    rows: int
    count: int
    ids_in: float
    ids_out: float | None
    copied: float | None
    engines: dict[str, Summarised]

    def with_engines(self, others: Mapping[str, Summarised]) -> Batches:
        """These, and engines that could not be started."""
        return replace(self, engines={**self.engines, **others})

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        engines = {
            name: Summarised(**each | {"seconds": tuple(each["seconds"])})
            for name, each in values["engines"].items()
        }
        return cls(**values | {"engines": engines})


@dataclass(frozen=True)
class TrainedResults:
    """One version, measured in one go.

    Attributes:
      name: of the version.
      family: of its model.
      model: transformers' config of it.
      weights: how many it has.
      max_input_tokens, max_output_tokens: the version's limits.
      no_repeat_ngram_size: of the version, and of each engine.
      decoding: settings of the version's own search that are not used here.
      machine: that it was measured on.
      threads: that each engine computed with.
      busy: see `benchmarks.decode.results.ShapeResults`.
      engines: what each engine is, by its name, in the order of the table.
      batches: for each number of rows.
    """

    name: str
    family: str
    model: dict[str, Any]
    weights: int
    max_input_tokens: int
    max_output_tokens: int
    no_repeat_ngram_size: int
    decoding: dict[str, Any]
    machine: Machine
    threads: int
    busy: float | None
    engines: dict[str, str]
    batches: tuple[Batches, ...]

    @classmethod
    def load(cls, path: Path) -> Self | None:
        """What a file holds; None where there is no file.

        Raises:
          ValueError: another release of this benchmark wrote it.
        """
        if not path.exists():
            return None
        return read_results(path, cls.from_json, advice="Delete it, and measure again")

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        batches = tuple(map(Batches.from_json, values["batches"]))
        machine = Machine.from_json(values["machine"])
        return cls(**values | {"machine": machine, "batches": batches})

    def save(self, path: Path) -> None:
        write_results(path, asdict(self) | {"machine": self.machine.to_json()})
