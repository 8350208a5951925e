"""What a person sees while commands run: steps, progress, errors without tracebacks."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NoReturn

import typer
from rich.console import Console
from rich.markup import escape

from pipelines.cli.training_bar import TrainingBar, has_bars
from pipelines.training.standing import standing_in

# Exit codes of every command; 0 is success.
EXIT_FAILED = 1
EXIT_BAD_INPUT = 2
EXIT_NOT_BLESSED = 3
EXIT_INTERRUPTED = 130  # as shells say of a program that SIGINT ended
EXIT_CODES: Final = {
    0: "Success.",
    EXIT_FAILED: "Something failed, or a check found something. The message says what.",
    EXIT_BAD_INPUT: "Settings, corpus or arguments cannot be used. The message says why.",
    EXIT_NOT_BLESSED: "The run is complete, and its model may not be pushed.",
    EXIT_INTERRUPTED: "Interrupted from the keyboard. What was complete is kept.",
}

# Long work anywhere in the project reports here; everything else goes to the log file.
PROGRESS_LOGGER = "tallygraph"

# A file or another program gets tables whole: nothing of them is cut to a terminal's width.
_WIDTH: Final = None if sys.stdout.isatty() else 1000

out = Console(highlight=False, soft_wrap=True, width=_WIDTH)
err = Console(stderr=True, highlight=False, soft_wrap=True)


def fail(message: str, code: int = EXIT_FAILED) -> NoReturn:
    """Print an error and end the command."""
    err.print(f"[bold red]error:[/] {escape(message)}")
    raise typer.Exit(code)


@contextlib.contextmanager
def logs_to_file(log_file: Path) -> Iterator[Console]:
    """Send logs, warnings and what native libraries print to a file; yield a console that
    still writes to the terminal.

    TFX, Beam and TensorFlow write thousands of lines. They are worth keeping and not worth
    reading while all goes well.
    """
    log_file.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    saved = os.dup(1), os.dup(2)
    terminal = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    log = log_file.open("a", encoding="utf-8", buffering=1)
    os.dup2(log.fileno(), 1)
    os.dup2(log.fileno(), 2)
    root, handler = logging.getLogger(), logging.StreamHandler(log)
    handler.setLevel(logging.INFO)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    before, root.handlers, level = root.handlers, [handler], root.level
    root.setLevel(logging.INFO)
    console = Console(file=terminal, highlight=False, soft_wrap=True)
    progress = _ProgressHandler(console)
    logger = logging.getLogger(PROGRESS_LOGGER)
    logger.addHandler(progress)
    logger.setLevel(progress.level)
    try:
        yield console
    finally:
        logger.removeHandler(progress)
        progress.close()
        root.handlers = before
        root.setLevel(level)
        sys.stdout.flush()
        sys.stderr.flush()
        for target, descriptor in zip((1, 2), saved, strict=True):
            os.dup2(descriptor, target)
            os.close(descriptor)
        terminal.close()
        log.close()


@contextlib.contextmanager
def quiet_stderr() -> Iterator[None]:
    """Hold back what is written to standard error, native libraries' writing included.

    TensorFlow greets whoever imports it with notes on the machine. If the block fails, what
    was held back is shown: it may say why.
    """
    sys.stderr.flush()
    saved = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            sys.stderr.flush()
            held.seek(0)
            os.write(saved, held.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(saved, 2)
            os.close(saved)


class _ProgressHandler(logging.Handler):
    """Shows progress messages below their step; on a terminal, training as a bar."""

    def __init__(self, console: Console):
        # A bar wants to know more often than a reader of lines does.
        super().__init__(logging.DEBUG if has_bars(console) else logging.INFO)
        self._console = console
        self._bar = TrainingBar(console) if has_bars(console) else None

    def emit(self, record: logging.LogRecord) -> None:
        standing = standing_in(record)
        if standing and self._bar:
            self._bar.show(standing)
        elif record.levelno >= logging.INFO:
            self._console.print(f"        [dim]{escape(record.getMessage())}[/]")

    def close(self) -> None:
        if self._bar:
            self._bar.stop()
        super().close()
