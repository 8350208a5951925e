"""What becomes of requests while the ledger's database cannot be reached.

A connection that breaks at a commit leaves open whether that was done. So what may be
asked twice is asked again, and what must not stay reserved is given back as soon as the
database answers, however long that takes: no reservation waits for the gateway's next start.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import sqlalchemy as sa

from serving.ledger import UnknownRequestError

_LOG = logging.getLogger(__name__)

T = TypeVar("T")

OUTAGES: Final = (sa.exc.DBAPIError, sa.exc.TimeoutError)
"""What an outage is raised as, and other errors too: `is_outage` tells which."""

# Beginnings of SQLSTATEs (PostgreSQL, appendix A): connection exceptions; the server shuts
# down, has crashed or starts; it has too many connections; a lock was not to be had; the
# transaction was given up for the sake of another one.
_SQLSTATES: Final = ("08", "57P", "53300", "55P03", "40001", "40P01")
# The low bytes are the primary codes (https://sqlite.org/rescode.html).
_SQLITE_CODES: Final = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)

SETTLE_FOR_S: Final = 10.0
"""How long an answer waits for the ledger: restarts of a database take less."""

_FIRST_WAIT_S: Final = 0.05
_LONGEST_WAIT_S: Final = 2.0


def is_outage(error: Exception) -> bool:
    """Whether the way to the database is at fault, and another attempt may find it well.

    A connection that broke or cannot be had, a lock that another one holds for too long: yes. A
    table that is missing, a disk that is full or may not be written: no; a person must help.
    """
    if isinstance(error, sa.exc.TimeoutError):  # of the pool of connections
        return True
    if not isinstance(error, sa.exc.DBAPIError):
        return False
    if error.connection_invalidated:
        return True
    if (code := getattr(error.orig, "sqlite_errorcode", None)) is not None:
        return code & 0xFF in _SQLITE_CODES
    state = getattr(error.orig, "sqlstate", None)
    if state is not None:
        return bool(state.startswith(_SQLSTATES))
    # No connection could be made: there was no server to give the error a state.
    return isinstance(error, sa.exc.OperationalError)


async def through_outages(ask: Callable[[], Awaitable[T]], for_s: float) -> T:
    """Ask the ledger, again and again while its database is out.

    Args:
      ask: does no more when done twice than when done once.

    Raises:
      sqlalchemy.exc.SQLAlchemyError: it was still out after so long; or it was no outage.
    """
    until, wait_s = time.monotonic() + for_s, _FIRST_WAIT_S
    while True:
        try:
            return await ask()
        except OUTAGES as error:
            if not is_outage(error) or time.monotonic() + wait_s > until:
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
        except OUTAGES as error:
            if not is_outage(error):
                raise
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
        _LOG.exception(
            "The reservation of the request %s could not be released and stays", request_id
        )


async def _released(request_id: str, release: Callable[[], Awaitable[None]]) -> None:
    try:
        await release()
    except UnknownRequestError:
        _LOG.debug("Nothing was reserved for the request %s", request_id)
