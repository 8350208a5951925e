"""What keeps cached answers, whatever it is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Final

MAX_VALUE_BYTES: Final = 64 * 1024
"""A longer answer is not kept."""


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
