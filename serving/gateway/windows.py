"""Amounts counted over the last minute, by key: in this process, or in a Redis for several.

A window has 61 slots of a second: an amount leaves it 60 to 61 s after it was counted, so that
no 60 s ever hold more than the limit. Time is monotonic in this process, and in Redis its own:
a clock that is set forward or back on a gateway's machine changes nothing.
"""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

WINDOW_S: Final = 60
SLOTS: Final = WINDOW_S + 1
_MAX_KEYS: Final = 100_000


class WindowsError(RuntimeError):
    """Amounts cannot be counted now. The message names no address and no password."""


@dataclass(frozen=True, slots=True)
class Window:
    """A window after an attempt to count an amount.

    Attributes:
      counted: whether the amount had room.
      remaining: of the limit.
      reset_s: seconds until the oldest amount leaves; 0 where there is none.
    """

    counted: bool
    remaining: int
    reset_s: int


class Windows(ABC):
    """Windows by key. For the tasks of one event loop."""

    @abstractmethod
    async def count(self, key: str, limit: int, cost: int, clip: bool = False) -> Window:
        """Count an amount if it has room.

        Args:
          limit: in any 60 s.
          cost: the amount; 0 to read only.
          clip: count as much of it as has room.

        Raises:
          WindowsError: it cannot be counted now.
        """

    @abstractmethod
    async def close(self) -> None:
        """Give back connections."""


class MemoryWindows(Windows):
    """Windows of this process."""

    def __init__(self, timer: Callable[[], float] = time.monotonic) -> None:
        """
        Args:
          timer: seconds, never backwards.
        """
        self._timer = timer
        self._slots: dict[str, dict[int, int]] = {}

    async def count(self, key: str, limit: int, cost: int, clip: bool = False) -> Window:
        now = math.floor(self._timer())
        slots = self._slots.pop(key, {})  # and put in again: the longest unused comes first
        for slot in [slot for slot in slots if slot <= now - SLOTS]:
            del slots[slot]
        used, oldest = sum(slots.values()), min(slots, default=now)
        if clip:
            cost = max(0, min(cost, limit - used))
        fits = used + cost <= limit
        if fits and cost:
            slots[now] = slots.get(now, 0) + cost
            used += cost
        if slots:
            self._slots[key] = slots
        while len(self._slots) > _MAX_KEYS:
            del self._slots[next(iter(self._slots))]
        return Window(fits, max(0, limit - used), oldest + SLOTS - now if used else 0)

    async def close(self) -> None:
        self._slots.clear()
