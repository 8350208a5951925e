"""Which errors of the ledger's database are outages, and how to wait for their end.

A connection that breaks at a commit leaves open whether that was done. So `ledger_port` asks
again what may be asked twice, and releases what must not stay reserved as soon as the database
answers, however long that takes: no reservation waits for the gateway's next start.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, TypeVar

import sqlalchemy as sa

T = TypeVar("T")

OUTAGES: Final = (sa.exc.DBAPIError, sa.exc.TimeoutError)
"""What an outage is raised as, and other errors too: see `is_outage`."""

# Beginnings of SQLSTATEs (PostgreSQL, appendix A): connection exceptions; the server shuts
# down, has crashed or starts; its disk or memory is full, or it has too many connections; it is
# read-only, as a replica is that has not taken over yet; it cannot read or write its files; a
# lock was not to be had; the transaction was given up for the sake of another one, or because
# its process was stopped in it.
_SQLSTATES: Final = ("08", "57P", "53", "25006", "25P03", "58030", "55P03", "40001", "40P01")
# The low bytes are the primary codes (https://sqlite.org/rescode.html).
_SQLITE_CODES: Final = (
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CANTOPEN,
)

SETTLE_FOR_S: Final = 10.0
"""How long a response waits for the ledger: restarts of a database take less."""

_FIRST_WAIT_S: Final = 0.05
_LONGEST_WAIT_S: Final = 2.0


def is_outage(error: Exception) -> bool:
    """Whether the database is at fault, and another attempt may find it well.

    A connection that broke or cannot be had, a lock that another one holds for too long, a disk
    that is full, a database that may only be read: yes; what was begun is ended when that is
    over. A table that is missing: no; a person must help.
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


class Background:
    """Tasks that nobody waits for, kept until they have ended."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Run it to its end."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
