"""What a group of requests costs: statements, and waiting for the disk."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from typing import Any

import pytest
import sqlalchemy as sa

from serving.ledger import BudgetExceededError, Ledger, Reservation
from serving.ledger.clock import utc_now
from serving.ledger.deliveries import MarkDelivered
from serving.ledger.group_commit import MAX_GROUP, GroupCommit
from serving.ledger.operations import Reserve, Settle
from serving.ledger.sql import Driver, Statement, Statements
from serving.ledger.transactions import transaction
from serving.ledger.unit_of_work import UnitOfWork
from serving.ledger.verification import verify
from serving.ledger.wanted import Wanted
from tests.serving.ledger.ledger_values import charge, usage

Make = Callable[..., Reservation]


def test_a_group_takes_as_many_statements_as_one_request(
    ledger: Ledger, engine: sa.Engine, reservation: Make
) -> None:
    """Whatever else is made faster: no statement of it is for one request."""
    requests = [reservation(route="chat") for _ in range(MAX_GROUP)]
    ran: list[str] = []

    class Counted(Driver):
        def ask(self, statement: Statement, **values: Any) -> Any:
            ran.append(statement.sql)
            return super().ask(statement, **values)

        def write(self, statement: Statement, rows: Any) -> None:
            if rows:
                ran.append(statement.sql)
            super().write(statement, rows)

    def do(operations: list[Any]) -> int:
        ran.clear()
        statements = Statements(engine.dialect)
        wanted = Wanted()
        for each in operations:
            each.want(wanted)
        with engine.connect() as connection, transaction(connection):
            work = UnitOfWork(Counted(connection), statements, "gateway-0", utc_now)
            work.read(wanted)
            for each in operations:
                each.do(work)
            work.write()
        return len(ran)

    settled = [Settle(each.request_id, usage(), charge(), b"") for each in requests]
    assert do([Reserve(requests[0])]) == 7  # with the tenant's first row
    assert do([Reserve(each) for each in requests[1:]]) == 4
    # One of them asks for alerts of the tenant's budget, one adds to the day's usage.
    assert do(settled[:1]) == do(settled[1:]) == 12
    assert do([MarkDelivered(tuple(each.request_id for each in requests))]) == 1
    assert verify(engine) == (MAX_GROUP, [])


@pytest.mark.parametrize("ledger_url", ["sqlite"], indirect=True)
def test_only_what_reserves_does_not_wait_for_the_disk(
    ledger: Ledger, engine: sa.Engine, reservation: Make
) -> None:
    """2 is FULL: the commit returns when it is on the disk, and all before it."""
    levels: list[int] = []

    @sa.event.listens_for(engine, "commit")
    def ask(connection: sa.Connection) -> None:
        levels.append(connection.exec_driver_sql("PRAGMA synchronous").scalar_one())

    async def work() -> None:
        async with aclosing(GroupCommit(ledger)) as grouped:
            one, two, three = (reservation() for _ in range(3))
            await asyncio.gather(grouped.reserve(one), grouped.reserve(two))
            await asyncio.gather(
                grouped.reserve(three), grouped.settle(one.request_id, usage(), charge(), b"")
            )
            await grouped.release(two.request_id)
            with pytest.raises(BudgetExceededError):
                await grouped.reserve(reservation(budget_micro=1))
            await grouped.settle(three.request_id, usage(), charge(), b"")

    asyncio.run(work())
    ledger.reverse("acme", 1, "a wrong price", "pat")
    assert levels == [1, 2, 2, 1, 2, 2, 2]  # the last two: the charge is read, and reversed
    assert verify(engine) == (3, [])
