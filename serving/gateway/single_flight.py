"""Identical requests that arrive together are computed once: the others wait for that answer.

The first claims its texts until its answer is charged for and cached; whoever comes meanwhile
looks in the cache again when it is over, and is charged for a hit. Where the first came to
nothing (the model failed, the cache keeps no such answer), each computes for itself: nobody
waits twice.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager


class SingleFlight:
    """What is being computed, by the keys of the cache. For one event loop."""

    def __init__(self) -> None:
        self._computing: dict[bytes, asyncio.Event] = {}

    @contextmanager
    def claim(self) -> Iterator[Claim]:
        """The claim of one request; it ends with the context."""
        claim = Claim(self._computing)
        try:
            yield claim
        finally:
            claim.end()


class Claim:
    """The texts that one request computes, for itself and for others."""

    def __init__(self, computing: dict[bytes, asyncio.Event]) -> None:
        self._computing = computing
        self._over = asyncio.Event()

    async def wait_for_others(self, keys: Iterable[bytes], deadline: float) -> bool:
        """Wait until no other request computes one of these keys any more.

        Args:
          deadline: no longer than until then, as ``time.monotonic()``.

        Returns:
          Whether another request did.
        """
        others = {self._computing.get(key, self._over) for key in keys} - {self._over}
        try:
            async with asyncio.timeout(deadline - time.monotonic()):
                for other in others:
                    await other.wait()
        except TimeoutError:
            pass  # the model decides what becomes of the request
        return bool(others)

    def begin(self, keys: Iterable[bytes]) -> None:
        """From now on others wait for the answers to these keys."""
        for key in keys:
            self._computing.setdefault(key, self._over)

    def end(self) -> None:
        """The answers are cached, or there are none."""
        for key in [key for key, over in self._computing.items() if over is self._over]:
            del self._computing[key]
        self._over.set()
