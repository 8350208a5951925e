"""Training as a bar on a terminal. Where there is none, its lines say the same."""

from __future__ import annotations

from typing import Final

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from pipelines.training.standing import Standing

# Columns. A line that does not fit is broken, and then a new one stays behind at every change.
_NARROWEST: Final = 60
_WIDE: Final = 84


def has_bars(console: Console) -> bool:
    """Whether a line can be written anew: on a terminal that can, and not in a log."""
    can = console.is_terminal and not console.is_dumb_terminal
    return can and console.width >= _NARROWEST


class TrainingBar:
    """A bar below what is printed; it begins with the first step that it is shown."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress: Progress | None = None
        self._task = TaskID(0)

    def show(self, standing: Standing) -> None:
        """Bring the bar up to date; a training that is over leaves it where it is."""
        if standing.over and self._progress is None:
            return
        if self._progress is None:
            self._progress = self._started(standing)
        self._progress.update(
            self._task,
            completed=standing.step,
            loss=standing.loss,
            examples_per_s=standing.examples_per_s,
        )
        if standing.over:
            self.stop()

    def stop(self) -> None:
        if self._progress:
            self._progress.stop()
            self._progress = None

    def _started(self, standing: Standing) -> Progress:
        wide = self._console.width >= _WIDE
        rate = TextColumn("{task.fields[examples_per_s]:.0f} examples/s")
        progress = Progress(
            TextColumn("       "),
            BarColumn(bar_width=24 if wide else 12),
            MofNCompleteColumn(),
            TextColumn("loss {task.fields[loss]:.3f}"),
            *([rate] if wide else []),
            TimeRemainingColumn(),
            console=self._console,
            # Both are the log's: what TFX and TensorFlow write must not come to the terminal.
            redirect_stdout=False,
            redirect_stderr=False,
        )
        # Begun where the training goes on, so that the time left is of the steps made here.
        self._task = progress.add_task(
            "training",
            total=standing.steps,
            completed=standing.step,
            loss=standing.loss,
            examples_per_s=standing.examples_per_s,
        )
        progress.start()
        return progress
