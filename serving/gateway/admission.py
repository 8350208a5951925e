"""Who may send a request, and how many requests may be under way."""

from __future__ import annotations

from collections import Counter
from typing import Protocol

from starlette.concurrency import run_in_threadpool

from serving.gateway.errors import overloaded
from serving.gateway.ledger_port import outages_refused
from serving.gateway.ops.tracing import NO_TRACES, Tracer
from serving.gateway.tenants import Caller, Tenants


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
