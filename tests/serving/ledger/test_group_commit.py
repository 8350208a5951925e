"""Many operations in one transaction: each has its own result, and none spoils another's."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import aclosing
from typing import Any

import pytest
import sqlalchemy as sa

from serving.ledger import (
    BudgetExceededError,
    Charge,
    Entry,
    IdempotencyConflictError,
    Ledger,
    LedgerError,
    Replay,
    RequestInProgressError,
    Reservation,
    Reserved,
    TokensBefore,
    TooManyAtOnceError,
    UnknownRequestError,
    Usage,
    schema,
)
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
from tests.serving.ledger.standing_clock import Clock

Make = Callable[..., Reservation]


@pytest.fixture
def commits(engine: sa.Engine) -> list[int]:
    """One more element for each transaction of the database that is committed."""
    seen: list[int] = []
    sa.event.listen(engine, "commit", lambda connection: seen.append(1))
    return seen


async def run(grouped: GroupCommit, request: Reservation, answer: bytes = b"a") -> Entry:
    await grouped.reserve(request)
    return await grouped.settle(request.request_id, usage(), charge(), answer)


def test_who_waits_at_the_same_time_shares_a_commit(
    ledger: Ledger, engine: sa.Engine, reservation: Make, commits: list[int]
) -> None:
    count = 3 * MAX_GROUP

    async def all_at_once() -> list[Entry]:
        async with aclosing(GroupCommit(ledger)) as grouped:
            tenants = ("acme", "other", "third")
            requests = [reservation(tenant=tenants[n % 3]) for n in range(count)]
            return await asyncio.gather(*(run(grouped, request) for request in requests))

    entries = asyncio.run(all_at_once())
    assert len({(entry.tenant, entry.number) for entry in entries}) == count
    # Two operations each: alone, they would have been so many commits.
    assert 2 * count / MAX_GROUP <= len(commits) < count / 4
    assert verify(engine) == (count, [])


def test_one_that_is_refused_does_not_spoil_the_others(
    ledger: Ledger, engine: sa.Engine, reservation: Make, commits: list[int]
) -> None:
    known = reservation(request_id="known", idempotency_key="k")
    ledger.reserve(known)
    commits.clear()
    again = reservation(idempotency_key="k", request_hash=known.request_hash)

    async def at_once() -> list[Any]:
        async with aclosing(GroupCommit(ledger)) as grouped:
            return await asyncio.gather(
                grouped.reserve(reservation()),
                grouped.reserve(reservation(amount_micro=10, budget_micro=9)),
                grouped.settle("unknown", usage(), charge(), b""),
                grouped.settle("known", usage(), charge(1001), b""),
                grouped.reserve(again),
                grouped.settle("known", usage(), charge(), b"the answer"),
                grouped.settle("known", usage(), charge(), b"the answer"),
                grouped.reserve(again),
                grouped.release("known"),
                return_exceptions=True,
            )

    results = asyncio.run(at_once())
    first, budget, unknown, dear, under_way, settled, twice, answered, released = results
    assert isinstance(first, Reserved)
    assert isinstance(budget, BudgetExceededError)
    assert isinstance(unknown, UnknownRequestError)
    assert isinstance(dear, LedgerError) and "costs 1001" in str(dear)
    assert isinstance(under_way, RequestInProgressError)
    assert isinstance(settled, Entry) and settled.number == 1
    assert twice == settled
    assert answered == Replay("known", b"the answer")
    assert released is False
    assert len(commits) == 1
    with engine.connect() as connection:
        ids = connection.scalars(sa.select(schema.requests.c.request_id)).all()
        account = connection.execute(sa.select(schema.accounts)).one()
    assert sorted(ids) == sorted(["known", first.request_id])
    assert (account.spent_micro, account.reserved_micro) == (700, 1000)
    assert verify(engine) == (1, [])


def test_what_one_does_the_next_one_of_its_group_sees(
    ledger: Ledger, engine: sa.Engine, reservation: Make, commits: list[int]
) -> None:
    """As if each had a transaction of its own: budget, limit, key, tokens of the month."""
    old = reservation(idempotency_key="k", request_hash="a" * 64)
    ledger.reserve(old)
    commits.clear()
    limits: dict[str, Any] = {"amount_micro": 1000, "budget_micro": 3000, "max_concurrent": 2}
    first, second, third = (reservation(**limits) for _ in range(3))
    taken, other = (
        reservation(**limits, idempotency_key="k", request_hash=each * 64) for each in "ab"
    )

    async def at_once() -> list[Any]:
        async with aclosing(GroupCommit(ledger)) as grouped:
            return await asyncio.gather(
                grouped.reserve(first),
                grouped.reserve(second),  # one too many at a time
                grouped.release(old.request_id),
                grouped.reserve(taken),  # its key is free again
                grouped.reserve(other),
                grouped.settle(first.request_id, usage(), charge(900), b""),
                grouped.settle(taken.request_id, usage(), charge(900), b""),
                grouped.reserve(third),
                grouped.reserve(reservation(**{**limits, "amount_micro": 201})),
                return_exceptions=True,
            )

    results = asyncio.run(at_once())
    assert [type(each) for each in results] == [
        Reserved,
        TooManyAtOnceError,
        bool,
        Reserved,
        IdempotencyConflictError,
        Entry,
        Entry,
        Reserved,
        BudgetExceededError,
    ]
    one, two = results[5:7]
    assert (one.number, two.number, two.previous_hash) == (1, 2, one.hash)
    assert (two.input_tokens_before, two.output_tokens_before) == (120, 30)
    assert results[8].used_micro == 2800
    assert len(commits) == 1
    assert verify(engine) == (2, [])


def test_where_one_cannot_be_written_each_is_written_alone(
    ledger: Ledger, engine: sa.Engine, reservation: Make
) -> None:
    ledger.reserve(reservation(request_id="known"))

    def no_price(used: Usage, before: TokensBefore) -> Charge:
        raise ZeroDivisionError

    async def at_once() -> tuple[Any, ...]:
        async with aclosing(GroupCommit(ledger)) as grouped:
            return await asyncio.gather(
                grouped.reserve(reservation()),
                grouped.reserve(reservation(request_id="known")),
                grouped.settle("known", usage(), no_price, b""),
                grouped.settle("known", usage(), charge(), b"the answer"),
                return_exceptions=True,
            )

    reserved, taken, failed, settled = asyncio.run(at_once())
    assert isinstance(reserved, Reserved)
    assert isinstance(taken, LedgerError) and "known is already used" in str(taken)
    assert isinstance(failed, ZeroDivisionError)
    assert isinstance(settled, Entry) and settled.number == 1
    assert verify(engine) == (1, [])


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
        statements = Statements(engine.dialect.name)
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


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
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


def test_a_race_for_a_budget_among_gateways_overspends_nothing(
    ledger: Ledger, engine: sa.Engine, reservation: Make, clock: Clock
) -> None:
    """Two gateways, each with its own loop and groups, and tenants in opposite orders."""
    requests = [
        reservation(tenant=tenant, amount_micro=10, budget_micro=300)
        for tenant in ("acme", "other") * 100
    ]
    ran: list[str] = []

    def gateway(name: str, mine: list[Reservation]) -> None:
        async def ask(grouped: GroupCommit, request: Reservation) -> None:
            try:
                await grouped.reserve(request)
            except BudgetExceededError:
                return
            await grouped.settle(request.request_id, usage(), charge(10), b"")
            ran.append(request.tenant)

        async def all_at_once() -> None:
            async with aclosing(GroupCommit(Ledger(engine, name, clock))) as grouped:
                await asyncio.gather(*(ask(grouped, request) for request in mine))

        asyncio.run(all_at_once())

    halves = (requests[:100], requests[:99:-1])
    threads = [
        threading.Thread(target=gateway, args=(f"gateway-{n}", half))
        for n, half in enumerate(halves)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (ran.count("acme"), ran.count("other")) == (30, 30)
    assert verify(engine) == (60, [])


def test_a_storm_of_retries_is_one_charge(
    ledger: Ledger, engine: sa.Engine, reservation: Make
) -> None:
    async def ask(grouped: GroupCommit, number: int) -> bytes:
        request = reservation(idempotency_key="k", request_hash="a" * 64)
        while True:
            try:
                got = await grouped.reserve(request)
            except RequestInProgressError:
                await asyncio.sleep(0)
                continue
            if isinstance(got, Replay):
                return got.answer
            answer = f"answer {number}".encode()
            await grouped.settle(request.request_id, usage(), charge(), answer)
            return answer

    async def storm() -> list[bytes]:
        async with aclosing(GroupCommit(ledger)) as grouped:
            return await asyncio.gather(*(ask(grouped, number) for number in range(50)))

    assert len(set(asyncio.run(storm()))) == 1
    assert verify(engine) == (1, [])


def test_what_is_begun_is_done_though_nobody_waits(
    ledger: Ledger, engine: sa.Engine, reservation: Make
) -> None:
    async def give_up() -> None:
        async with aclosing(GroupCommit(ledger)) as grouped:
            waiting = [asyncio.create_task(run(grouped, reservation())) for _ in range(3)]
            await asyncio.sleep(0)  # each has asked
            waiting[1].cancel()
            first, second, third = await asyncio.gather(*waiting, return_exceptions=True)
            assert (first.number, third.number) == (1, 2)
            assert isinstance(second, asyncio.CancelledError)

    asyncio.run(give_up())
    with engine.connect() as connection:
        states = connection.scalars(sa.select(schema.requests.c.state)).all()
    assert sorted(states) == ["reserved", "settled", "settled"]


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_no_connection_is_left_when_it_is_closed(
    ledger: Ledger, engine: sa.Engine, reservation: Make
) -> None:
    """The pool has all again, and can close them; what comes late keeps none, either."""

    async def work() -> None:
        pool = engine.pool
        assert isinstance(pool, sa.QueuePool)
        grouped = GroupCommit(ledger)
        await run(grouped, reservation())
        assert pool.checkedout() == 1
        await grouped.aclose()
        assert pool.checkedout() == 0
        await run(grouped, reservation())
        assert pool.checkedout() == 0

    asyncio.run(work())
    assert verify(engine) == (2, [])
