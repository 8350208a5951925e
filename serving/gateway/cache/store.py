"""What keeps cached answers, whatever it is; and one that keeps them in this process."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Final

MAX_VALUE_BYTES: Final = 64 * 1024
"""A longer answer is not kept."""
# What Python and the table need for an entry, beside its key and value; measured, rounded up.
_ENTRY_BYTES: Final = 256


class CacheError(ValueError):
    """A cache that cannot be set up as asked; the message says why."""


class StoreError(RuntimeError):
    """The store did not do it. The message names no key, no value and no password."""


class CacheStore(ABC):
    """Values by key, for a time. What was put may be gone at any moment."""

    @abstractmethod
    async def get(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The value of each key, None where there is none.

        Raises:
          StoreError: the store cannot be asked.
        """

    @abstractmethod
    async def put(self, values: Mapping[bytes, bytes]) -> None:
        """Keep values; those that are too large are not kept.

        Raises:
          StoreError: the store cannot be asked; some may have been kept.
        """

    @abstractmethod
    async def close(self) -> None:
        """Give back what is held."""


class MemoryStore(CacheStore):
    """Keeps what was used last. For one event loop."""

    def __init__(
        self,
        max_entries: int,
        max_bytes: int,
        ttl_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Args:
          max_entries, max_bytes: what it holds at most; what was used longest ago goes first.
          ttl_s: after so many seconds a value is forgotten, used or not.
          clock: seconds, never backwards.
        """
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._ttl_s = ttl_s
        self._clock = clock
        self._values: OrderedDict[bytes, tuple[float, bytes]] = OrderedDict()
        self.size_bytes = 0

    def __len__(self) -> int:
        return len(self._values)

    async def get(self, keys: Sequence[bytes]) -> list[bytes | None]:
        return [self._get(key) for key in keys]

    async def put(self, values: Mapping[bytes, bytes]) -> None:
        for key, value in values.items():
            self._remove(key)
            if len(value) <= MAX_VALUE_BYTES:
                self._values[key] = (self._clock() + self._ttl_s, value)
                self.size_bytes += _size(key, value)
        while len(self._values) > self._max_entries or self.size_bytes > self._max_bytes:
            self._remove(next(iter(self._values)))

    async def close(self) -> None:
        self._values.clear()
        self.size_bytes = 0

    def _get(self, key: bytes) -> bytes | None:
        expires_at, value = self._values.get(key, (float("inf"), None))
        if self._clock() >= expires_at:
            self._remove(key)
            return None
        if value is not None:
            self._values.move_to_end(key)
        return value

    def _remove(self, key: bytes) -> None:
        entry = self._values.pop(key, None)
        if entry is not None:
            self.size_bytes -= _size(key, entry[1])


def _size(key: bytes, value: bytes) -> int:
    return len(key) + len(value) + _ENTRY_BYTES
