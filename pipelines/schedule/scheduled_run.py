"""The command that a schedule starts, with nothing left to where or by whom it is started."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


class ScheduleError(ValueError):
    """What is to be scheduled cannot run; the message says why."""


@dataclass(frozen=True)
class ScheduledRun:
    """A `tallygraph run`.

    Attributes:
      executable: the `tallygraph` of an environment.
      folder: where it runs; relative paths of the settings are below it.
      config: the settings.
      output: the run's output folder.
      corpus: as `--corpus` takes it; empty for that of the settings.
      span: as `--span` takes it; empty for a corpus without.
      overrides: as `--set` takes them.
    """

    executable: Path
    folder: Path
    config: Path
    output: Path
    corpus: str = ""
    span: str = ""
    overrides: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what could not be written into one line.

        Raises:
          ScheduleError: a text has a control character, or a path is not absolute.
        """
        for path in (self.executable, self.folder, self.config, self.output):
            if not path.is_absolute():
                raise ScheduleError(f"paths of a schedule are absolute. Received: {path}")
        for text in (str(self.folder), *self.arguments):
            if not text.isprintable():
                raise ScheduleError(
                    "a schedule is written in one line, without control characters. "
                    f"Received: {text!r}"
                )

    @property
    def arguments(self) -> list[str]:
        """The command, word by word."""
        return [
            str(self.executable),
            "run",
            f"--config={self.config}",
            f"--output={self.output}",
            *([f"--corpus={self.corpus}"] if self.corpus else []),
            *([f"--span={self.span}"] if self.span else []),
            *(f"--set={override}" for override in self.overrides),
        ]


def absolute_corpus(corpus: str, folder: Path) -> str:
    """A corpus's path, glob or pattern, made absolute; one elsewhere (`gs://`) as it is."""
    return corpus if not corpus or "://" in corpus else os.path.normpath(folder / corpus)
