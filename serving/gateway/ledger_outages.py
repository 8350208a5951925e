"""What becomes of requests while the ledger's database cannot be reached.

A connection that breaks leaves open whether the transaction on it was written. So what may be
asked twice is asked again, and what must not stay reserved is given back as soon as the
database answers, however long that takes: no reservation waits for the gateway's next start.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import sqlalchemy as sa

from serving.ledger import UnknownRequestError

_LOG = logging.getLogger(__name__)

T = TypeVar("T")

# The database, or the way to it, is at fault, and another attempt may find it well.
OUTAGES: Final = (sa.exc.OperationalError, sa.exc.InterfaceError, sa.exc.TimeoutError)

SETTLE_FOR_S: Final = 10.0
"""How long an answer waits for the ledger: restarts of a database take less."""

_FIRST_WAIT_S: Final = 0.05
_LONGEST_WAIT_S: Final = 2.0


async def through_outages(ask: Callable[[], Awaitable[T]], for_s: float = SETTLE_FOR_S) -> T:
    """Ask the ledger, again and again while its database is out.

    Args:
      ask: does no more when done twice than when done once.

    Raises:
      sqlalchemy.exc.SQLAlchemyError: it was still out after so long.
    """
    until, wait_s = time.monotonic() + for_s, _FIRST_WAIT_S
    while True:
        try:
            return await ask()
        except OUTAGES:
            if time.monotonic() + wait_s > until:
                raise
        await asyncio.sleep(wait_s)
        wait_s = min(2 * wait_s, _LONGEST_WAIT_S)


class Returns:
    """Gives reservations back, in the background where the database is out."""

    def __init__(self) -> None:
        self._waiting: set[asyncio.Task[None]] = set()

    async def give_back(self, request_id: str, release: Callable[[], Awaitable[None]]) -> None:
        """Release a request, unless it is settled or was never reserved; now, or later.

        Args:
          release: releases it, to its end even if whoever waits for it is cancelled.
        """
        try:
            await _released(request_id, release)
        except OUTAGES:
            self.give_back_later(request_id, release)

    def give_back_later(self, request_id: str, release: Callable[[], Awaitable[None]]) -> None:
        """The same, without waiting for it at all."""
        task = asyncio.ensure_future(_until_released(request_id, release))
        self._waiting.add(task)
        task.add_done_callback(self._waiting.discard)


async def _until_released(request_id: str, release: Callable[[], Awaitable[None]]) -> None:
    try:
        await through_outages(lambda: _released(request_id, release), float("inf"))
    except Exception:
        # Nobody waits for this task. The next start releases what is left.
        _LOG.exception("The reservation of the request %s stays", request_id)


async def _released(request_id: str, release: Callable[[], Awaitable[None]]) -> None:
    try:
        await release()
    except UnknownRequestError:
        _LOG.debug("Nothing was reserved for the request %s", request_id)
