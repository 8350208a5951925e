"""Who may send a request, and how many: at a time, and a minute."""

from __future__ import annotations

import logging
from collections import Counter
from typing import Final, Protocol

from starlette.concurrency import run_in_threadpool

from serving.gateway.errors import GatewayError, overloaded
from serving.gateway.ledger_port import outages_refused
from serving.gateway.ops.tracing import NO_TRACES, Tracer
from serving.gateway.ports import NO_QUOTA, Quota
from serving.gateway.tenants import Caller, Tenants
from serving.gateway.windows import MemoryWindows, Window, Windows, WindowsError

_LOG = logging.getLogger(__name__)

READS_PER_MINUTE: Final = 600
"""Requests of a tenant that cost nothing and read: counts of tokens, usage."""


class Callers:
    """Finds out whose an API key is, for the tasks of an event loop."""

    def __init__(self, tenants: Tenants, tracer: Tracer = NO_TRACES) -> None:
        self._tenants = tenants
        self._tracer = tracer

    async def find(self, key: str) -> Caller | None:
        """Whose key it is; None where it is unknown or revoked.

        Raises:
          KeyRefusedError: it has expired or is suspended.
          GatewayError: 503, the database cannot be reached.
        """
        caller = self._tenants.cached(key)
        if caller is None:
            with self._tracer.part("authenticate"), outages_refused():
                caller = await run_in_threadpool(self._tenants.authenticate, key)
        return caller


class Held(Protocol):
    """Requests that wait for a model server: see `serving.gateway.backends.waiting`."""

    waiting: int

    def waiting_of(self, tenant: str) -> int:
        """Those of a tenant."""


class _NobodyWaits:
    waiting = 0

    def waiting_of(self, tenant: str) -> int:
        return 0


class Admission:
    """Counts requests under way. For the tasks of one event loop.

    Those that wait for a model server take nobody's place: their queue has bounds of its own.

    The last quarter of the capacity is for other tenants than the one that uses all the rest:
    no tenant keeps the others out alone, by slow bodies or many requests.

    Attributes:
      under_way: requests that have arrived and are not completed.
      capacity_of_one_tenant: requests of a tenant at a time.
    """

    def __init__(self, capacity: int, held: Held | None = None) -> None:
        """
        Args:
          capacity: requests under way at a time.
          held: those among them that wait.
        """
        self._held: Held = _NobodyWaits() if held is None else held
        self._capacity = capacity
        self.capacity_of_one_tenant = capacity - capacity // 4
        self._tenants = Counter[str]()
        self.under_way = 0

    def enter(self) -> bool:
        """Count a request that has arrived; False where there is no capacity for it."""
        if self.under_way - self._held.waiting >= self._capacity:
            return False
        self.under_way += 1
        return True

    def admit(self, tenant: str) -> None:
        """Count an entered request as a tenant's, once its key is known.

        Raises:
          GatewayError: 503, the tenant has as many requests under way as one may.
        """
        active = self._tenants[tenant] - self._held.waiting_of(tenant)
        if active >= self.capacity_of_one_tenant:
            raise overloaded(
                "Too many of your requests are running. Try again in a moment.", limit="shed"
            )
        self._tenants[tenant] += 1

    def leave(self, tenant: str | None) -> None:
        """Count a request as completed.

        Args:
          tenant: that it was admitted for; None where it was not.
        """
        self.under_way -= 1
        if tenant is not None:
            self._tenants[tenant] -= 1
            if not self._tenants[tenant]:
                del self._tenants[tenant]


class Rates:
    """Limits of requests and tokens in any 60 s."""

    def __init__(
        self, windows: Windows | None = None, reads_per_minute: int = READS_PER_MINUTE
    ) -> None:
        """
        Args:
          windows: where is counted; None for the memory of this process.
          reads_per_minute: requests of each tenant that are not charged.
        """
        self._windows = windows if windows is not None else MemoryWindows()
        self._reads_per_minute = reads_per_minute

    async def close(self) -> None:
        await self._windows.close()

    async def admit(self, caller: Caller) -> Quota:
        """Count a request, if it may be made.

        Returns:
          What the tenant has left.

        Raises:
          GatewayError: 429, with the time after which there is room again. A request that is
            refused does not count. Or 503: it cannot be counted now, and nobody passes a
            limit uncounted.
        """
        limits = caller.limits
        requests, tokens = limits.requests_per_minute, limits.tokens_per_minute
        if requests is None and tokens is None:
            return NO_QUOTA
        of_tokens = of_requests = None
        try:
            if tokens is not None:
                of_tokens = await self._windows.count(f"tokens:{caller.tenant}", tokens, 0)
            if requests is not None:
                # A request that its tokens refuse does not count.
                cost = 1 if of_tokens is None or of_tokens.remaining else 0
                of_requests = await self._windows.count(
                    f"requests:{caller.tenant}", requests, cost
                )
        except WindowsError as error:
            _LOG.error("Rates cannot be counted: %s", error)
            raise overloaded("Rates cannot be counted at the moment. Try again soon.") from None
        quota = Quota(
            requests,
            of_requests.remaining if of_requests else 0,
            of_requests.reset_s if of_requests else 0,
            tokens,
            of_tokens.remaining if of_tokens else 0,
            of_tokens.reset_s if of_tokens else 0,
        )
        if of_tokens is not None and tokens is not None and not of_tokens.remaining:
            raise _too_fast(tokens, "tokens", of_tokens, quota)
        if of_requests is not None and requests is not None and not of_requests.counted:
            raise _too_fast(requests, "requests", of_requests, quota)
        return quota

    async def admit_read(self, caller: Caller) -> None:
        """Count a request that is not charged, if it may be made.

        Raises:
          GatewayError: 429 or 503, as `admit`.
        """
        try:
            window = await self._windows.count(
                f"reads:{caller.tenant}", self._reads_per_minute, 1
            )
        except WindowsError as error:
            _LOG.error("Rates cannot be counted: %s", error)
            raise overloaded("Rates cannot be counted at the moment. Try again soon.") from None
        if not window.counted:
            raise _too_fast(self._reads_per_minute, "reads", window, NO_QUOTA)

    async def used(self, caller: Caller, tokens: int) -> None:
        """Count tokens that an answer used. The last request of a window may go beyond it: how
        much it uses is known only afterwards. The answer is charged for by then, and is sent
        even if its tokens cannot be counted here."""
        limit = caller.limits.tokens_per_minute
        if limit is None or not tokens:
            return
        try:
            await self._windows.count(f"tokens:{caller.tenant}", limit, tokens, clip=True)
        except WindowsError as error:
            _LOG.error(
                "%s tokens of %s were not counted in the rates: %s",
                tokens,
                caller.tenant,
                error,
            )


def _too_fast(limit: int, what: str, window: Window, quota: Quota) -> GatewayError:
    wait_s = max(1, window.reset_s)
    return GatewayError(
        429,
        f"The limit of {limit} {what} per minute is used up. Try again in {wait_s} s.",
        "rate_limit_error",
        "rate_limit_exceeded",
        retry_after_s=wait_s,
        limit=f"{what}_per_minute",
        quota=quota,
    )
