"""Equal questions at the same moment: one asks the model, the others wait for its answer.

The first holds its questions until its answer is charged for and kept by the cache; whoever
comes meanwhile looks there again when it is over, and is charged for a hit. Where it has come
to nothing (the model failed, the cache keeps no such answer), each asks for itself: nobody
waits twice.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable


class Flights:
    """What the model is being asked, by the keys of the cache. For one event loop."""

    def __init__(self) -> None:
        self.under_way: dict[bytes, asyncio.Event] = {}


class Flight:
    """The questions of one request."""

    def __init__(self, flights: Flights) -> None:
        self._under_way = flights.under_way
        self._over = asyncio.Event()

    async def wait_for_others(self, keys: Iterable[bytes], deadline: float) -> bool:
        """Wait until nobody else who asks one of these questions now does so any more.

        Args:
          deadline: no longer than until then, as ``time.monotonic()``.

        Returns:
          Whether somebody did.
        """
        others = {self._under_way.get(key, self._over) for key in keys} - {self._over}
        try:
            async with asyncio.timeout(deadline - time.monotonic()):
                for other in others:
                    await other.wait()
        except TimeoutError:
            pass  # the model says what becomes of it
        return bool(others)

    def begin(self, keys: Iterable[bytes]) -> None:
        """From now on others wait for the answers."""
        for key in keys:
            self._under_way.setdefault(key, self._over)

    def end(self) -> None:
        """The answers are kept, or there are none."""
        for key in [key for key, over in self._under_way.items() if over is self._over]:
            del self._under_way[key]
        self._over.set()
