"""What a process takes: processor time, and memory at rest and at most."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Final, Self

import psutil

_SAMPLE_S: Final = 0.2


def children() -> set[int]:
    """Ids of the processes that this one has started, and that run."""
    return {each.pid for each in psutil.Process().children()}


def memory_mib(pid: int) -> float:
    """Resident memory of a process and those that it has started, in MiB; what several share is
    counted for each."""
    root = psutil.Process(pid)
    return sum(
        each.memory_info().rss for each in (root, *root.children(recursive=True))
    ) / float(2**20)


@dataclass
class MemoryWatch:
    """The most memory that processes take while this context lasts.

    Attributes:
      pids: by name.
      most_mib: by name.
    """

    pids: dict[str, int]

    def __post_init__(self) -> None:
        self.most_mib = dict.fromkeys(self.pids, 0.0)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def _watch(self) -> None:
        while True:
            for name, pid in self.pids.items():
                self.most_mib[name] = max(self.most_mib[name], memory_mib(pid))
            if self._over.wait(_SAMPLE_S):
                return

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
