"""Ends a run at once when it is interrupted from the keyboard."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from typing import Final

from rich.console import Console

from pipelines.cli.console import EXIT_INTERRUPTED

# What is under way has so long to end in order: servers and workers that a node has started.
_UNWIND_S: Final = 10.0


@contextlib.contextmanager
def interrupts_answered(terminal: Console) -> Iterator[None]:
    """Say at once what an interrupt leaves, and raise KeyboardInterrupt.

    Libraries swallow it where it meets them in a callback or a destructor: then the process
    ends after some seconds all the same. A second interrupt ends it there and then.
    """
    seen = threading.Event()

    def interrupted(number: int, frame: object) -> None:
        if seen.is_set():
            os._exit(EXIT_INTERRUPTED)
        seen.set()
        terminal.print(
            "interrupted: what was complete is kept. The same command again continues from "
            "there, training from its last checkpoint."
        )
        end = threading.Timer(_UNWIND_S, os._exit, [EXIT_INTERRUPTED])
        end.daemon = True
        end.start()
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, interrupted)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
