"""The command that a schedule starts; it does not depend on where or by whom it is started."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


class ScheduleError(ValueError):
    """The run cannot be scheduled; the message says why."""


@dataclass(frozen=True)
class ScheduledRun:
    """A `tallygraph run`.

    Attributes:
      executable: the `tallygraph` of an environment.
      folder: where it runs; relative paths of the settings are below it.
      config: the settings.
      output: the run's output folder.
      corpus: as `--corpus` takes it; empty for that of the settings.
      span: as `--span` takes it; empty for a corpus without spans.
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
        """Refuse values that cannot be written in one line.

        Raises:
          ScheduleError: a text has a control character, or a path is not absolute.
        """
        for path in (self.executable, self.folder, self.config, self.output):
            if not path.is_absolute():
                raise ScheduleError(
                    f"the paths of a schedule must be absolute. Received: {path}"
                )
        for text in (str(self.folder), *self.arguments):
            if not text.isprintable():
                raise ScheduleError(
                    "a schedule must fit in one line, without control characters. "
                    f"Received: {text!r}"
                )

    @property
    def arguments(self) -> list[str]:
        """Return the command, word by word."""
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
    """Make a corpus's path, glob or pattern absolute; one on another system (`gs://`) is
    unchanged."""
    return corpus if not corpus or "://" in corpus else os.path.normpath(folder / corpus)
