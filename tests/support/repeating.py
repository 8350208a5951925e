"""Work that a test leaves to a thread, again and again, whose errors the test gets to see."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self


@dataclass
class Repeating:
    """Does its work in a thread of its own, for as long as its context lasts.

    What the work raises ends the thread, and is raised by `check` and at the context's end.

    Attributes:
      every_s: between the end of one round and the begin of the next.
    """

    name: str
    every_s: float
    work: Callable[[], None]
    _problem: Exception | None = None
    _end: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._run, name=self.name)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        assert self._thread is not None
        self._thread.join()
        self.check()

    def check(self) -> None:
        """Raise what the thread has ended with, if it has."""
        if self._problem is not None:
            raise self._problem

    def _run(self) -> None:
        try:
            while not self._end.wait(self.every_s):
                self.work()
        except Exception as error:
            self._problem = error
