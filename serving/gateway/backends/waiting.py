"""Requests that wait for a model server, in their order, for a while.

Where model servers are stopped while nobody asks, the first requests find none. They wait
here, which is what starts a server (servers are scaled on those that wait, among others), and
go on as soon as one is up: few at a time, so that the first server is not given at once what
several were started for.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from itertools import islice
from typing import Final, Literal

from serving.gateway.errors import GatewayError, NoServerUpError, overloaded

MAX_WAITING: Final = 512
"""Requests that wait at a time: with those under way, fewer than the connections there are."""
MAX_WAITING_BYTES: Final = 64 * 1024 * 1024
"""Bodies of requests that wait: they are kept in memory."""
RETRY_AFTER_S: Final = 5

UNDER_WAY_EACH: Final = 32
"""None that waits goes on while each server that is up has so many requests under way."""
_AT_A_TIME_EACH: Final = 8
_TURN_EVERY_S: Final = 0.05

Outcome = Literal["served", "expired", "rejected", "abandoned"]
OUTCOMES: Final[tuple[Outcome, ...]] = ("served", "expired", "rejected", "abandoned")
"""A server was up in time; none was; there was no room to wait in; the client went away."""


def _not_observed(outcome: Outcome, seconds: float) -> None:
    """Nobody counts."""


class ModelWait:
    """The queue of one model. For the tasks of one event loop.

    The last quarter of it is for other tenants than the one that has filled the rest.

    Attributes:
      waiting: requests that wait now.
      observe: called with the outcome of each wait and its seconds.
    """

    def __init__(
        self,
        servers_up: Callable[[], int],
        under_way: Callable[[], int],
        wait_s: float,
        capacity: int = MAX_WAITING,
        capacity_bytes: int = MAX_WAITING_BYTES,
    ) -> None:
        """
        Args:
          servers_up: how many servers could answer a request now.
          under_way: requests that servers have been asked and have not answered.
          wait_s: how long a request waits at most; 0: not at all.
        """
        self.wait_s = wait_s
        self.waiting = 0
        self.observe = _not_observed
        self._servers_up = servers_up
        self._under_way = under_way
        self._capacity = capacity
        self._capacity_of_one_tenant = capacity - capacity // 4
        self._capacity_bytes = capacity_bytes
        self._bytes = 0
        self._queue: dict[str, asyncio.Future[None]] = {}
        self._tenants = Counter[str]()
        self._letting_go: asyncio.Task[None] | None = None

    async def close(self) -> None:
        if self._letting_go is not None:
            self._letting_go.cancel()
            await asyncio.gather(self._letting_go, return_exceptions=True)

    def waiting_of(self, tenant: str) -> int:
        """Those of them that are a tenant's."""
        return self._tenants[tenant]

    def must_wait(self) -> bool:
        """Whether a request that comes now has to wait."""
        return bool(self.wait_s) and (bool(self._queue) or not self._servers_up())

    async def turn(self, request_id: str, tenant: str, size_bytes: int, until: float) -> None:
        """Return when a server is up, and the request's turn has come; at once where one is up
        and nobody waits.

        Args:
          request_id: see `abandon`.
          size_bytes: of its body.
          until: how long it may wait, as ``time.monotonic()``.

        Raises:
          NoServerUpError: 503, no server was up in time.
          GatewayError: 503, too many wait; 499, the client went away.
        """
        if not self.must_wait():
            return
        started = time.monotonic()
        if not self._has_room(tenant, size_bytes):
            self.observe("rejected", 0.0)
            raise overloaded(
                "No model server is up, and too many requests wait for one. Try again in a "
                "moment.",
                RETRY_AFTER_S,
                limit="shed",
            )
        outcome: Outcome = "abandoned"
        mine = self._enter(request_id, tenant, size_bytes)
        try:
            async with asyncio.timeout(until - started):
                await mine
            outcome = "served"
        except TimeoutError:
            outcome = "expired"
            raise NoServerUpError(
                f"No model server was up within {self.wait_s:g} s. Nothing was charged. Try "
                "again in a moment.",
                RETRY_AFTER_S,
            ) from None
        finally:
            self._leave(request_id, tenant, size_bytes)
            self.observe(outcome, time.monotonic() - started)

    def abandon(self, request_id: str) -> bool:
        """The client of a request went away. It waits no longer, if it does wait.

        Returns:
          Whether it did: nothing has been reserved or computed for it.
        """
        mine = self._queue.get(request_id)
        if mine is None or mine.done():
            return False
        mine.set_exception(
            GatewayError(
                499,
                "The client closed the connection before a model server was up. Nothing was "
                "charged.",
                "server_error",
                "client_gone",
            )
        )
        return True

    def _has_room(self, tenant: str, size_bytes: int) -> bool:
        return (
            self.waiting < self._capacity
            and self._tenants[tenant] < self._capacity_of_one_tenant
            and self._bytes + size_bytes <= self._capacity_bytes
        )

    def _enter(self, request_id: str, tenant: str, size_bytes: int) -> asyncio.Future[None]:
        mine = self._queue[request_id] = asyncio.get_running_loop().create_future()
        self.waiting += 1
        self._tenants[tenant] += 1
        self._bytes += size_bytes
        if self._letting_go is None or self._letting_go.done():
            self._letting_go = asyncio.create_task(self._let_go())
        return mine

    def _leave(self, request_id: str, tenant: str, size_bytes: int) -> None:
        del self._queue[request_id]
        self.waiting -= 1
        self._bytes -= size_bytes
        self._tenants[tenant] -= 1
        if not self._tenants[tenant]:
            del self._tenants[tenant]

    async def _let_go(self) -> None:
        """While anybody waits, let those go on that a server has room for, the first first."""
        while self._queue:
            servers = self._servers_up()
            room = servers * UNDER_WAY_EACH - self._under_way()
            now = max(0, min(servers * _AT_A_TIME_EACH, room))
            for mine in islice(list(self._queue.values()), now):
                if not mine.done():
                    mine.set_result(None)
            await asyncio.sleep(_TURN_EVERY_S)
