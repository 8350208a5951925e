"""What a group does when the database is locked, ends a deadlock, or is gone."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import sqlalchemy as sa
from ledger_values import charge, usage

from serving.ledger import Entry, Ledger, Reservation, Reserved, schema
from serving.ledger.grouped import GroupedLedger
from serving.ledger.verification import verify

Make = Callable[..., Reservation]


async def run(grouped: GroupedLedger, request: Reservation) -> Entry:
    await grouped.write(request.tenant, lambda ledger: ledger.reserve(request))
    return await grouped.write(
        request.tenant,
        lambda ledger: ledger.settle(request.request_id, usage(), charge(), b"answer"),
    )


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_locked_database_is_asked_again(
    ledger: Ledger, engine: sa.Engine, reservation: Make
) -> None:
    """Another process writes for longer than SQLite itself waits."""
    sa.event.listen(engine, "connect", lambda raw, _: raw.execute("PRAGMA busy_timeout = 1"))
    engine.dispose()
    blocker = sqlite3.connect(str(engine.url.database), check_same_thread=False)
    blocker.execute("BEGIN IMMEDIATE")
    released = threading.Timer(0.2, blocker.rollback)
    released.start()
    entry = asyncio.run(run(GroupedLedger(ledger), reservation()))
    released.join()
    blocker.close()
    assert entry.number == 1
    assert verify(engine) == (1, [])


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
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
        grouped = GroupedLedger(ledger)
        requests = [reservation(tenant=tenant) for tenant in ("acme", "other")]
        return await asyncio.gather(
            *(
                grouped.write(each.tenant, lambda inner, each=each: inner.reserve(each))
                for each in requests
            )
        )

    with blocker.connect() as connection, ThreadPoolExecutor(1) as pool:
        connection.execute(lock.with_for_update(), {"tenant": "other"})
        group = pool.submit(asyncio.run, at_once())
        time.sleep(0.1)  # the group has the one, and waits for the other
        connection.execute(lock.with_for_update(), {"tenant": "acme"})
        connection.rollback()
        reserved = group.result()
    blocker.dispose()
    assert all(isinstance(each, Reserved) for each in reserved)
    assert verify(engine) == (0, [])


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_broken_connection_is_told_to_all_of_its_group(
    ledger: Ledger, engine: sa.Engine, reservation: Make
) -> None:
    def break_connection(inner: Ledger) -> None:
        with engine.connect() as other:
            others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = "
            others += "current_database() AND pid <> pg_backend_pid()"
            other.exec_driver_sql(others)
        inner.reserve(reservation())

    async def ask() -> list[Any]:
        grouped = GroupedLedger(ledger)
        broken = [
            grouped.write("acme", lambda inner: inner.reserve(reservation())),
            grouped.write("acme", break_connection),
        ]
        results = await asyncio.gather(*broken, return_exceptions=True)
        # The next one has a connection of its own again.
        return [*results, await run(grouped, reservation())]

    first, second, third = asyncio.run(ask())
    assert isinstance(first, sa.exc.DBAPIError) and isinstance(second, sa.exc.DBAPIError)
    assert third.number == 1
    with engine.connect() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(schema.requests)) == 1
