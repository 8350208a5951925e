"""Figures that may take long to read: kept, and read again in the background.

A page waits for them for a moment only. Then it shows what was read before, with its age, or
says that it waits. So however large the ledger is and however cold its disk, pages are quick.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

T = TypeVar("T")

WAIT_S: Final = 0.05
"""How long a page waits for figures that are being read."""
_FAILED_S: Final = 10.0
"""How long a failure in the background is told to the next page."""


@dataclass(frozen=True, slots=True)
class Figures(Generic[T]):
    """
    Attributes:
      value: what was read last; None: nothing yet.
      age_s: since then, in seconds; 0 where nothing was read yet.
      reading: whether it is being read again.
    """

    value: T | None
    age_s: float
    reading: bool


class Kept(Generic[T]):
    """One kind of figures. For one event loop."""

    def __init__(self, fresh_s: float, wait_s: float = WAIT_S) -> None:
        """
        Args:
          fresh_s: younger figures are not read again, however many look at them.
          wait_s: how long a page waits for them.
        """
        self._fresh_s = fresh_s
        self._wait_s = wait_s
        self._value: T | None = None
        self._read_at = float("-inf")
        self._failure: Exception | None = None
        self._failed_at = float("-inf")
        self._reading: asyncio.Task[None] | None = None

    async def read(self, read: Callable[[], Awaitable[T]]) -> Figures[T]:
        """What is kept; where it is too old, it is read again, by one task for all who ask.

        Args:
          read: reads the figures.

        Raises:
          Exception: what `read` raised, a moment ago.
        """
        under_way = self._reading is not None and not self._reading.done()
        if not under_way and time.monotonic() >= self._read_at + self._fresh_s:
            self._reading = asyncio.create_task(self._keep(read))
        if self._reading is not None:
            # Whoever gives up waiting takes nothing from the others.
            await asyncio.wait([self._reading], timeout=self._wait_s)
        failure, self._failure = self._failure, None
        if failure is not None and time.monotonic() < self._failed_at + _FAILED_S:
            raise failure
        age_s = 0.0 if self._value is None else max(0.0, time.monotonic() - self._read_at)
        return Figures(
            self._value, age_s, self._reading is not None and not self._reading.done()
        )

    async def _keep(self, read: Callable[[], Awaitable[T]]) -> None:
        try:
            self._value = await read()
            self._read_at = time.monotonic()
        except Exception as error:
            self._failure, self._failed_at = error, time.monotonic()
