"""Many operations in one transaction: each has its own result, and none spoils another's."""

from __future__ import annotations

import asyncio
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
from serving.ledger.group_commit import MAX_GROUP, GroupCommit
from serving.ledger.verification import verify
from tests.serving.ledger.ledger_values import charge, usage

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


@pytest.mark.parametrize("ledger_url", ["postgresql"], indirect=True)
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
