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

from serving.ledger.database import gave_way, retrying
from serving.ledger.ledger import Ledger

T = TypeVar("T")

MAX_GROUP: Final = 64
"""Operations of a transaction: so many hold up the next ones for some milliseconds only."""


KEPT_FOR_S: Final = 1.0
"""How long a connection is kept after a transaction without asking whether it still works."""
CAREFUL_GROUPS: Final = 32
"""So many groups have savepoints after one in which an operation failed: where one fails, the
next ones are likely to, and a group that is not prepared for it is written twice."""


@dataclass(frozen=True, slots=True, eq=False)
class _Operation:
    """What one caller waits for."""

    tenant: str
    work: Callable[[Ledger], Any]
    done: asyncio.Future[Any]


@dataclass(frozen=True, slots=True)
class _Outcome:
    """A result, or what was raised."""

    value: Any = None
    error: Exception | None = None


class GroupedLedger:
    """A ledger for the tasks of one event loop. Other processes may write at the same time.

    All that `Ledger` promises holds: an operation that fails leaves nothing behind and does
    not touch the others of its group.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._waiting: deque[_Operation] = deque()
        self._writing: asyncio.Task[None] | None = None
        self._careful = 0
        # The thread's own.
        self._connection: sa.Connection | None = None
        self._used_at = 0.0
        # One: two groups at a time would wait for each other's locks.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ledger")

    async def write(self, tenant: str, work: Callable[[Ledger], T]) -> T:
        """Do an operation, to its end even if whoever waits for it is cancelled.

        Args:
          tenant: whose money it is about.
          work: calls the ledger that it is given, all or nothing. Where the database gives a
            transaction up, it is called again.

        Returns:
          What `work` returned, once it is committed.

        Raises:
          Exception: what `work` raised; then none of it is written. Or the transaction
            could not be committed: whether it was, only the ledger can tell.
        """
        operation = _Operation(tenant, work, asyncio.get_running_loop().create_future())
        self._waiting.append(operation)
        if self._writing is None:
            self._writing = asyncio.create_task(self._write_all())
        return await operation.done

    async def _write_all(self) -> None:
        """Write group after group until nobody waits."""
        loop = asyncio.get_running_loop()
        try:
            while self._waiting:
                count = min(MAX_GROUP, len(self._waiting))
                group = [self._waiting.popleft() for _ in range(count)]
                outcomes = await loop.run_in_executor(self._thread, self._outcomes, group)
                for operation, outcome in zip(group, outcomes, strict=True):
                    _tell(operation.done, outcome)
        finally:
            self._writing = None

    def _outcomes(self, group: Sequence[_Operation]) -> list[_Outcome]:
        """Write a group; one outcome for each of it, after the commit."""
        # One order of tenants in all processes, so that none wait for each other in a circle.
        # Those of a tenant stay in the order in which they came.
        order = sorted(range(len(group)), key=lambda place: group[place].tenant)
        outcomes = [_Outcome()] * len(group)
        ordered = [group[place] for place in order]
        try:
            for place, outcome in zip(order, self._committed(ordered), strict=True):
                outcomes[place] = outcome
        except Exception as error:
            return [_Outcome(error=error)] * len(group)
        return outcomes

    def _committed(self, group: Sequence[_Operation]) -> list[_Outcome]:
        try:
            return self._commit(group)
        except sa.exc.DBAPIError as error:
            if not gave_way(error):
                raise
        return retrying()(self._commit, group)

    def _commit(self, group: Sequence[_Operation]) -> list[_Outcome]:
        """
        Raises:
          Exception: it could not be written as a whole; alone, an operation's own error.
        """
        if len(group) == 1:
            with self._transaction() as (_, ledger):
                return [_Outcome(group[0].work(ledger))]
        if self._careful == 0:
            try:
                return self._all(group)
            except _SpoiltError:
                self._careful = CAREFUL_GROUPS
        self._careful -= 1
        return self._each(group)

    def _all(self, group: Sequence[_Operation]) -> list[_Outcome]:
        """Write a group whole.

        Raises:
          _SpoiltError: one of it failed, and nothing is written. Never of the commit: what that
            has done is not known.
        """
        with self._transaction() as (_, ledger):
            try:
                return [_Outcome(operation.work(ledger)) for operation in group]
            except Exception as error:
                if _is_lost(error):
                    raise
                raise _SpoiltError from error

    def _each(self, group: Sequence[_Operation]) -> list[_Outcome]:
        """Write a group but for what fails of it. It takes longer: a savepoint is a statement
        to begin and another one to end it."""
        with self._transaction() as (connection, ledger):
            return [_outcome(operation, ledger, connection) for operation in group]

    @contextmanager
    def _transaction(self) -> Iterator[tuple[sa.Connection, Ledger]]:
        """A transaction on the connection of the last one, if that was a moment ago: taking one
        from the pool asks the database whether it is still there, and giving it back resets it.
        """
        connection, self._connection = self._connection, None
        if connection is not None and time.monotonic() > self._used_at + KEPT_FOR_S:
            connection.close()
            connection = None
        if connection is None:
            connection = self._ledger.engine.connect()
        try:
            with connection.begin():
                yield connection, _LedgerInTransaction(self._ledger, connection)
        except BaseException:
            connection.close()
            raise
        self._connection, self._used_at = connection, time.monotonic()


class _SpoiltError(Exception):
    """An operation of a group failed, so that the group's transaction was given up."""


class _LedgerInTransaction(Ledger):
    """A ledger whose operations are parts of a transaction that is under way."""

    def __init__(self, ledger: Ledger, connection: sa.Connection) -> None:
        super().__init__(ledger.engine, ledger.owner, ledger.clock)
        self._connection = connection

    def _write(self, work: Callable[[sa.Connection], T]) -> T:
        return work(self._connection)


def _outcome(operation: _Operation, ledger: Ledger, connection: sa.Connection) -> _Outcome:
    """Do one operation of several; where it fails, it alone is undone.

    Raises:
      sqlalchemy.exc.DBAPIError: the whole transaction is lost with the operation.
    """
    try:
        with connection.begin_nested():
            return _Outcome(operation.work(ledger))
    except Exception as error:
        if _is_lost(error):
            raise
        return _Outcome(error=error)


def _is_lost(error: Exception) -> bool:
    """Whether an operation's error is the end of its whole transaction."""
    return gave_way(error) or (
        isinstance(error, sa.exc.DBAPIError) and error.connection_invalidated
    )


def _tell(done: asyncio.Future[Any], outcome: _Outcome) -> None:
    if done.done():  # cancelled: nobody waits any more
        return
    if outcome.error is not None:
        done.set_exception(outcome.error)
    else:
        done.set_result(outcome.value)
