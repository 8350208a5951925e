"""Writes of many requests in one transaction, so that they wait for the disk together.

A commit is a wait for the disk, and most of what a small write takes. What arrives while one
group is being written makes up the next: alone, an operation waits for nobody; under load, a
commit is shared by as many as are there. Each is told its own result, after the commit.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import sqlalchemy as sa

from serving.ledger.database import retrying, wrote_nothing
from serving.ledger.deliveries import MarkDelivered, MarkUndelivered
from serving.ledger.ledger import Ledger
from serving.ledger.operations import (
    Operation,
    Outcome,
    Release,
    Reserve,
    Settle,
)
from serving.ledger.records import (
    Charge,
    Entry,
    Pricing,
    Replay,
    Reservation,
    Reserved,
    Undelivered,
    Usage,
)

MARKED_WITHIN_S: Final = 0.2
"""How long a delivered answer waits for a group to be marked with."""

MARKED_AGAIN_AFTER_S: Final = 1.0
MAX_MARKED: Final = 10_000

T = TypeVar("T")
R = TypeVar("R")

MAX_GROUP: Final = 64
"""Operations of a transaction: so many hold up the next ones for some milliseconds only."""

KEPT_FOR_S: Final = 1.0
"""How long a connection is kept after a transaction without asking whether it still works."""


@dataclass(frozen=True, slots=True, eq=False)
class _Waiting:
    """What one caller waits for."""

    operation: Operation[Any]
    done: asyncio.Future[Any]


class GroupCommit:
    """A ledger for the tasks of one event loop. Other processes may write at the same time.

    All that `Ledger` promises holds: an operation that fails leaves nothing behind and does
    not touch the others of its group. One that is begun is done to its end, even if whoever
    waits for it is cancelled. Where a transaction could not be committed, all of its group are
    told so: whether it was, only the ledger can tell.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._waiting: deque[_Waiting] = deque()
        self._delivered: list[str] = []
        self._writing: asyncio.Future[None] | None = None
        # The thread's own.
        self._connection: sa.Connection | None = None
        self._used_at = 0.0
        self._closed = False
        # One: two groups at a time would wait for each other's locks.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ledger")

    async def reserve(self, reservation: Reservation) -> Reserved | Replay | Undelivered:
        """See `Ledger.reserve`."""
        return await self._write(Reserve(reservation))

    async def settle(
        self, request_id: str, usage: Usage, charge: Charge | Pricing, answer: bytes
    ) -> Entry:
        """See `Ledger.settle`."""
        return await self._write(Settle(request_id, usage, charge, answer))

    async def release(self, request_id: str) -> bool:
        """See `Ledger.release`."""
        return await self._write(Release(request_id))

    async def undelivered(self, request_id: str) -> bool:
        """See `Ledger.undelivered`."""
        return await self._write(MarkUndelivered(request_id))

    def delivered(self, request_id: str) -> None:
        """See `Ledger.delivered`. It waits for nothing: it is written with the next group,
        before all of it, or soon by itself, and again where that fails. Until then the answer
        is held by this process's lease, and given to nobody."""
        self._delivered.append(request_id)
        if self._writing is None and len(self._delivered) == 1:
            asyncio.get_running_loop().call_later(MARKED_WITHIN_S, self._begin)

    async def flush(self) -> None:
        """Write what is marked as delivered; call it before the lease is ended."""
        self._begin()
        if self._writing is not None:
            await asyncio.shield(self._writing)

    async def aclose(self) -> None:
        """Write what is marked as delivered, and give the kept connection back: call it before
        the ledger's engine is disposed of, which cannot close what is not in its pool. What is
        still asked for is done, and keeps no connection any more."""
        await self.flush()
        self._closed = True
        await asyncio.get_running_loop().run_in_executor(self._thread, self._give_back)

    async def _write(self, operation: Operation[R]) -> R:
        done: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(operation, done))
        self._begin()
        return await done

    def _begin(self) -> None:
        if self._writing is None and (self._waiting or self._delivered):
            loop = asyncio.get_running_loop()
            self._writing = loop.create_future()
            # What else is asked for in this turn of the loop comes along.
            loop.call_soon(self._write_next)

    def _write_next(self) -> None:
        """Give the thread what waits, as far as it makes one group."""
        if not self._waiting and not self._delivered:
            self._end()
            return
        count = min(MAX_GROUP, len(self._waiting))
        group = [self._waiting.popleft() for _ in range(count)]
        marked, self._delivered = self._delivered, []
        loop = asyncio.get_running_loop()
        self._thread.submit(self._write_group, loop, group, marked)

    def _write_group(
        self, loop: asyncio.AbstractEventLoop, group: Sequence[_Waiting], marked: Sequence[str]
    ) -> None:
        """On the thread: write a group, and have the loop tell of it."""
        operations = [each.operation for each in group]
        if marked:
            operations.insert(0, MarkDelivered(tuple(marked)))
        loop.call_soon_threadsafe(self._written, group, marked, self._outcomes(operations))

    def _written(
        self, group: Sequence[_Waiting], marked: Sequence[str], outcomes: list[Outcome]
    ) -> None:
        """On the loop again: tell whoever waited, and go on until nobody waits."""
        failed = bool(marked) and outcomes.pop(0).error is not None
        if failed:
            self._mark_later(marked)
        for each, outcome in zip(group, outcomes, strict=True):
            _tell(each.done, outcome)
        if failed and not group:
            self._end()
        else:
            self._write_next()

    def _end(self) -> None:
        if self._writing is not None:
            self._writing.set_result(None)
            self._writing = None

    def _mark_later(self, request_ids: Sequence[str]) -> None:
        """The newest are kept, as many as there may be; the others expire by themselves."""
        self._delivered = [*request_ids, *self._delivered][-MAX_MARKED:]
        asyncio.get_running_loop().call_later(MARKED_AGAIN_AFTER_S, self._begin)

    def _outcomes(self, operations: Sequence[Operation[Any]]) -> list[Outcome]:
        """Write a group; an outcome for each of it, after the commit."""
        if len(operations) == 1:
            return [self._alone(operations[0])]
        try:
            return self._done(self._ledger.write, operations)
        except Exception as error:
            if _is_of_one(error):
                return [self._alone(operation) for operation in operations]
            return [Outcome(error=error)] * len(operations)

    def _alone(self, operation: Operation[Any]) -> Outcome:
        try:
            return self._done(self._ledger.write_alone, operation)
        except Exception as error:
            return Outcome(error=error)

    def _done(self, write: Callable[[sa.Connection, T], R], what: T) -> R:
        """Write in a transaction, again where it is given up and has certainly written nothing:
        so a kept connection that was cut meanwhile is nobody's matter."""

        def once() -> R:
            with self._kept_connection() as connection:
                return write(connection, what)

        try:
            return once()
        except sa.exc.DBAPIError as error:
            if not wrote_nothing(error):
                raise
        return retrying()(once)

    @contextmanager
    def _kept_connection(self) -> Iterator[sa.Connection]:
        """The connection of the last transaction, if that was a moment ago: taking one from the
        pool asks the database whether it is still there, and giving it back resets it."""
        connection, self._connection = self._connection, None
        if connection is not None and time.monotonic() > self._used_at + KEPT_FOR_S:
            connection.close()
            connection = None
        if connection is None:
            connection = self._ledger.engine.connect()
        try:
            yield connection
        except BaseException:
            connection.close()
            raise
        self._connection, self._used_at = connection, time.monotonic()
        if self._closed:
            self._give_back()

    def _give_back(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def _is_of_one(error: Exception) -> bool:
    """Whether a group is certain not to be written, and the others of it can be."""
    of_database = isinstance(error, sa.exc.SQLAlchemyError)
    return not of_database or isinstance(error, (sa.exc.IntegrityError, sa.exc.DataError))


def _tell(done: asyncio.Future[Any], outcome: Outcome) -> None:
    if done.done():  # cancelled: nobody waits any more
        return
    if outcome.error is not None:
        done.set_exception(outcome.error)
    else:
        done.set_result(outcome.value)
