"""What a group does when the database is locked, ends a deadlock, or is gone."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from typing import Any

import pytest
import sqlalchemy as sa

from serving.ledger import (
    Entry,
    Ledger,
    Reservation,
    Reserved,
    schema,
)
from serving.ledger.group_commit import GroupCommit
from serving.ledger.verification import verify
from tests.serving.ledger.ledger_values import charge, usage
from tests.support.waiting import wait_until

Make = Callable[..., Reservation]
DEADLINE_S = 120.0


async def run(grouped: GroupCommit, request: Reservation) -> Entry:
    await grouped.reserve(request)
    return await grouped.settle(request.request_id, usage(), charge(), b"answer")


@pytest.mark.parametrize("ledger_url", ["sqlite"], indirect=True)
def test_a_locked_database_is_asked_again(
    ledger: Ledger, engine: sa.Engine, reservation: Make
) -> None:
    """Another process writes for longer than SQLite itself waits."""
    sa.event.listen(engine, "connect", lambda raw, _: raw.execute("PRAGMA busy_timeout = 1"))
    engine.dispose()
    blocker = sqlite3.connect(str(engine.url.database), check_same_thread=False)
    blocker.execute("BEGIN IMMEDIATE")
    refused = threading.Event()

    @sa.event.listens_for(engine, "handle_error")
    def locked(context: sa.engine.ExceptionContext) -> None:
        assert "locked" in str(context.original_exception)
        refused.set()

    def release() -> None:
        assert refused.wait(DEADLINE_S)
        blocker.rollback()

    async def alone() -> Entry:
        async with aclosing(GroupCommit(ledger)) as grouped:
            return await run(grouped, reservation())

    releasing = threading.Thread(target=release)
    releasing.start()
    entry = asyncio.run(alone())
    releasing.join()
    blocker.close()
    assert entry.number == 1
    assert verify(engine) == (1, [])


@pytest.mark.parametrize("ledger_url", ["postgresql"], indirect=True)
def test_a_group_that_ends_a_deadlock_is_written_again(
    ledger: Ledger, engine: sa.Engine, reservation: Make
) -> None:
    """Another transaction has locked the tenants in the wrong order."""
    for tenant in ("acme", "other"):
        ledger.reserve(reservation(tenant=tenant))

    # It is this engine's transactions that give way, before the other one's would.
    @sa.event.listens_for(engine, "connect")
    def be_quick_to_give_way(raw: Any, _: object) -> None:
        raw.execute("SET deadlock_timeout = '500ms'")
        raw.commit()

    engine.dispose()
    blocker = sa.create_engine(engine.url)
    lock = sa.select(schema.chains).where(schema.chains.c.tenant == sa.bindparam("tenant"))

    async def at_once() -> list[Any]:
        async with aclosing(GroupCommit(ledger)) as grouped:
            requests = [reservation(tenant=tenant) for tenant in ("acme", "other")]
            return await asyncio.gather(*(grouped.reserve(each) for each in requests))

    with blocker.connect() as connection, ThreadPoolExecutor(1) as pool:
        connection.execute(lock.with_for_update(), {"tenant": "other"})
        group = pool.submit(asyncio.run, at_once())
        wait_until(lambda: waits_for_a_lock(engine), "the group to want the other one")
        connection.execute(lock.with_for_update(), {"tenant": "acme"})
        connection.rollback()
        reserved = group.result()
    blocker.dispose()
    assert all(isinstance(each, Reserved) for each in reserved)
    assert verify(engine) == (0, [])


def waits_for_a_lock(engine: sa.Engine) -> bool:
    """Whether somebody in a database of PostgreSQL's waits for a lock that another one has."""
    query = sa.text(
        "SELECT count(*) FROM pg_stat_activity "
        "WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    watching = sa.create_engine(engine.url)
    with watching.connect() as connection:
        waiting = connection.scalar(query)
    watching.dispose()
    return bool(waiting)


def end(connection: sa.Connection) -> None:
    """End a connection of PostgreSQL's, from another one."""
    pid = connection.connection.driver_connection.info.backend_pid
    other = sa.create_engine(connection.engine.url)
    with other.connect() as ending:
        assert ending.scalar(sa.select(sa.func.pg_terminate_backend(pid, 60_000)))
    other.dispose()


def group_of_two(ledger: Ledger, reservation: Make) -> list[Any]:
    """What becomes of a reservation and a charge that are written together; and of a request
    after them, which has a connection of its own again."""
    ledger.reserve(reservation(request_id="known"))

    async def ask() -> list[Any]:
        async with aclosing(GroupCommit(ledger)) as grouped:
            together = [
                grouped.reserve(reservation()),
                grouped.settle("known", usage(), charge(), b""),
            ]
            results = await asyncio.gather(*together, return_exceptions=True)
            return [*results, await run(grouped, reservation())]

    return asyncio.run(ask())


@pytest.mark.parametrize("ledger_url", ["postgresql"], indirect=True)
def test_a_group_whose_connection_breaks_before_its_commit_is_written_on_another_one(
    ledger: Ledger, engine: sa.Engine, reservation: Make
) -> None:
    began: list[sa.Connection] = []

    @sa.event.listens_for(engine, "begin")
    def break_the_second(connection: sa.Connection) -> None:
        began.append(connection)
        if len(began) == 2:
            end(connection)

    reserved, settled, after = group_of_two(ledger, reservation)
    assert isinstance(reserved, Reserved)
    assert (settled.number, after.number) == (1, 2)
    assert verify(engine) == (2, [])


@pytest.mark.parametrize("ledger_url", ["postgresql"], indirect=True)
def test_a_connection_that_breaks_at_the_commit_is_told_to_all_of_its_group(
    ledger: Ledger, engine: sa.Engine, reservation: Make
) -> None:
    """Whether it was written, only the ledger can tell: it is not done again unasked."""
    committed: list[sa.Connection] = []

    @sa.event.listens_for(engine, "commit")
    def break_the_second(connection: sa.Connection) -> None:
        committed.append(connection)
        if len(committed) == 2:
            end(connection)

    first, second, third = group_of_two(ledger, reservation)
    assert isinstance(first, sa.exc.DBAPIError) and first.connection_invalidated
    assert second is first
    assert third.number == 1
    with engine.connect() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(schema.requests)) == 2
