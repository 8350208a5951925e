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

from redis.asyncio import Redis
from redis.exceptions import RedisError

MEMORY: Final = "async+memory://"
REDIS_SCHEMES: Final = ("redis://", "rediss://", "unix://")
WINDOW_S: Final = 60
_SLOTS: Final = WINDOW_S + 1
_MAX_KEYS: Final = 100_000
_REDIS_TIMEOUT_S: Final = 2.0

# KEYS[1]: the window's. ARGV: limit, cost, whether to count only what there is room for.
# Returns: whether it was counted, what is counted now, in how many seconds the oldest leaves.
_COUNT: Final = f"""
local now = tonumber(redis.call('TIME')[1])
local slots = redis.call('HGETALL', KEYS[1])
local used, oldest = 0, now
for i = 1, #slots, 2 do
  local slot = tonumber(slots[i])
  if slot <= now - {_SLOTS} or slot > now then
    redis.call('HDEL', KEYS[1], slots[i])
  else
    used = used + tonumber(slots[i + 1])
    oldest = math.min(oldest, slot)
  end
end
local limit, cost = tonumber(ARGV[1]), tonumber(ARGV[2])
if ARGV[3] == '1' then cost = math.max(0, math.min(cost, limit - used)) end
local fits = used + cost <= limit
if fits and cost > 0 then
  redis.call('HINCRBY', KEYS[1], now, cost)
  redis.call('EXPIRE', KEYS[1], {_SLOTS})
  used = used + cost
end
return {{fits and 1 or 0, used, used > 0 and oldest + {_SLOTS} - now or 0}}
"""


class WindowsError(RuntimeError):
    """Amounts cannot be counted now. The message names no address and no password."""


class WindowsSettingError(ValueError):
    """A place where amounts cannot be counted; the message says what is expected."""


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
        for slot in [slot for slot in slots if slot <= now - _SLOTS]:
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
        return Window(fits, max(0, limit - used), oldest + _SLOTS - now if used else 0)

    async def close(self) -> None:
        self._slots.clear()


class RedisWindows(Windows):
    """Windows in a Redis, which several gateways share."""

    def __init__(self, url: str) -> None:
        """
        Args:
          url: such as ``redis://host:6379/0``.

        Raises:
          ValueError: it is not valid.
        """
        self._redis = Redis.from_url(
            url, socket_timeout=_REDIS_TIMEOUT_S, socket_connect_timeout=_REDIS_TIMEOUT_S
        )
        self._script = self._redis.register_script(_COUNT)

    async def count(self, key: str, limit: int, cost: int, clip: bool = False) -> Window:
        try:
            fits, used, reset_s = await self._script(
                keys=[f"tallygraph:rate:{key}"], args=[limit, cost, int(clip)]
            )
        except (RedisError, OSError) as error:
            raise WindowsError(type(error).__name__) from None
        return Window(bool(fits), max(0, limit - used), reset_s)

    async def close(self) -> None:
        await self._redis.aclose()


def open_windows(url: str) -> Windows:
    """The windows that a URL names.

    Args:
      url: ``async+memory://``, or a Redis: ``redis://host:6379``, also as ``async+redis://…``.

    Raises:
      WindowsSettingError: there are none such.
    """
    if url.startswith(MEMORY):
        return MemoryWindows()
    address = url.removeprefix("async+")
    if address.startswith(REDIS_SCHEMES):
        try:
            return RedisWindows(address)
        except ValueError:
            pass  # its message may quote a password
    raise WindowsSettingError(
        f"The storage of rates is not valid. Expected: {MEMORY}, or redis://host:port for "
        f"several gateways. Received: one that begins with {url.partition(':')[0]!r}."
    )
