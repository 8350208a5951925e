"""Windows in a Redis, which several gateways share.

A module of its own: Redis' client takes a while to import, and most gateways need none.
"""

from __future__ import annotations

from typing import Final

from redis.asyncio import Redis
from redis.exceptions import RedisError

from serving.gateway.windows import SLOTS, Window, Windows, WindowsError

_TIMEOUT_S: Final = 2.0

# KEYS[1]: the window's. ARGV: limit, cost, whether to count only what there is room for.
# Returns: whether it was counted, what is counted now, in how many seconds the oldest leaves.
_COUNT: Final = f"""
local now = tonumber(redis.call('TIME')[1])
local slots = redis.call('HGETALL', KEYS[1])
local used, oldest = 0, now
for i = 1, #slots, 2 do
  local slot = tonumber(slots[i])
  if slot <= now - {SLOTS} or slot > now then
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
  redis.call('EXPIRE', KEYS[1], {SLOTS})
  used = used + cost
end
return {{fits and 1 or 0, used, used > 0 and oldest + {SLOTS} - now or 0}}
"""


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
            url, socket_timeout=_TIMEOUT_S, socket_connect_timeout=_TIMEOUT_S
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
