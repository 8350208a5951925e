"""Requests and tokens a minute of each tenant, in one process or, by Redis, in many."""

from __future__ import annotations

import logging
import math
import time
from typing import Final

from limits import RateLimitItem, RateLimitItemPerMinute
from limits.aio.storage import Storage
from limits.aio.strategies import MovingWindowRateLimiter
from limits.errors import ConfigurationError, StorageError
from limits.storage import storage_from_string

from serving.gateway.errors import GatewayError, overloaded
from serving.gateway.tenants import Caller

_LOG = logging.getLogger(__name__)

MEMORY: Final = "async+memory://"
"""Each process counts by itself. With ``async+redis://host:6379`` all processes share their
counts."""


_EXPECTED: Final = (
    "The storage of rates is not valid. Expected: async+memory://, or "
    "async+redis://host:port for several gateways."
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
        options: dict[str, str | bool] = {"wrap_exceptions": True}
        if not storage_url.startswith(MEMORY):
            options["implementation"] = "redispy"  # the client that the cache uses, too
        try:
            storage = storage_from_string(storage_url, **options)
        except (ConfigurationError, ValueError) as error:
            raise RatesError(f"{_EXPECTED} Received: {storage_url!r} ({error}).") from None
        if not isinstance(storage, Storage):
            raise RatesError(f"{_EXPECTED} Received: {storage_url!r}, which would block.")
        self._limiter = MovingWindowRateLimiter(storage)

    async def admit(self, caller: Caller) -> None:
        """Count a request, if it may be made.

        Raises:
          GatewayError: 429, with the time after which there is room again. A request that is
            refused does not count. Or 503: it cannot be counted now, and nobody passes a
            limit uncounted.
        """
        try:
            await self._admit(caller)
        except StorageError as error:
            _LOG.error("Rates cannot be counted: %s", error)
            raise overloaded("Rates cannot be counted at the moment. Try again soon.") from None

    async def _admit(self, caller: Caller) -> None:
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
        much it uses is known only afterwards. The answer is charged for by then, and leaves
        even if its tokens cannot be counted here."""
        limit = caller.limits.tokens_per_minute
        if limit is None or not tokens:
            return
        item = RateLimitItemPerMinute(limit)
        try:
            # Other answers may be counted between reading and counting, which then has no room.
            while True:
                stats = await self._limiter.get_window_stats(item, "tokens", caller.tenant)
                cost = min(tokens, stats.remaining)
                if not cost or await self._limiter.hit(
                    item, "tokens", caller.tenant, cost=cost
                ):
                    return
        except StorageError as error:
            _LOG.error(
                "%s tokens of %s were not counted in the rates: %s",
                tokens,
                caller.tenant,
                error,
            )

    async def _too_fast(self, item: RateLimitItem, what: str, caller: Caller) -> GatewayError:
        stats = await self._limiter.get_window_stats(item, what, caller.tenant)
        wait_s = max(1, math.ceil(stats.reset_time - time.time()))
        return GatewayError(
            429,
            f"The limit of {item.amount} {what} per minute is used up. Try again in "
            f"{wait_s} s.",
            "rate_limit_error",
            "rate_limit_exceeded",
            retry_after_s=wait_s,
            limit=f"{what}_per_minute",
        )
