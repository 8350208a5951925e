"""Requests and tokens a minute of each tenant, in one process or, by Redis, in many."""

from __future__ import annotations

import math
import time
from typing import Final

from limits import RateLimitItem, RateLimitItemPerMinute
from limits.aio.storage import Storage
from limits.aio.strategies import MovingWindowRateLimiter
from limits.errors import ConfigurationError
from limits.storage import storage_from_string

from serving.gateway.errors import GatewayError
from serving.gateway.tenants import Caller

MEMORY: Final = "async+memory://"
"""Each process counts by itself. ``async+redis://host:6379`` lets all count together."""


_EXPECTED: Final = (
    "Rates are counted in async+memory:// or, by several gateways, in async+redis://host:port."
)


class RatesError(ValueError):
    """A storage that rates cannot be counted in."""


class Rates:
    """Moving windows of 60 s."""

    def __init__(self, storage_url: str = MEMORY) -> None:
        """
        Args:
          storage_url: as the `limits` library names storages.

        Raises:
          RatesError: there is no such storage.
        """
        try:
            storage = storage_from_string(storage_url)
        except (ConfigurationError, ValueError) as error:
            raise RatesError(f"{_EXPECTED} Received: {storage_url!r} ({error}).") from None
        if not isinstance(storage, Storage):
            raise RatesError(f"{_EXPECTED} Received: {storage_url!r}, which would block.")
        self._limiter = MovingWindowRateLimiter(storage)

    async def admit(self, caller: Caller) -> None:
        """Count a request, if it may be made.

        Raises:
          GatewayError: 429, with the time after which there is room again. A request that is
            refused does not count.
        """
        limits = caller.limits
        if limits.tokens_per_minute is not None:
            item = RateLimitItemPerMinute(limits.tokens_per_minute)
            if not await self._limiter.test(item, "tokens", caller.tenant):
                raise await self._too_fast(item, "tokens", caller)
        if limits.requests_per_minute is not None:
            item = RateLimitItemPerMinute(limits.requests_per_minute)
            if not await self._limiter.hit(item, "requests", caller.tenant):
                raise await self._too_fast(item, "requests", caller)

    async def used(self, caller: Caller, tokens: int) -> None:
        """Count tokens that an answer used. The last request of a window may go beyond it: how
        much it uses is known only afterwards."""
        limit = caller.limits.tokens_per_minute
        if limit is not None and tokens:
            item = RateLimitItemPerMinute(limit)
            left = (
                await self._limiter.get_window_stats(item, "tokens", caller.tenant)
            ).remaining
            await self._limiter.hit(item, "tokens", caller.tenant, cost=min(tokens, left))

    async def _too_fast(self, item: RateLimitItem, what: str, caller: Caller) -> GatewayError:
        stats = await self._limiter.get_window_stats(item, what, caller.tenant)
        wait_s = max(1, math.ceil(stats.reset_time - time.time()))
        return GatewayError(
            429,
            f"{item.amount} {what} a minute are used up. Try again in {wait_s} s.",
            "rate_limit_error",
            "rate_limit_exceeded",
            retry_after_s=wait_s,
            limit=f"{what}_per_minute",
        )
