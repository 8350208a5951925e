"""Many operations in one transaction: each has its own result, and none spoils another's."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa
from ledger_values import charge, usage

from serving.ledger import (
    BudgetExceededError,
    Entry,
    Ledger,
    LedgerError,
    Replay,
    RequestInProgressError,
    Reservation,
    Reserved,
    UnknownRequestError,
    schema,
)
from serving.ledger.grouped import CAREFUL_GROUPS, MAX_GROUP, GroupedLedger
from serving.ledger.verification import verify

Make = Callable[..., Reservation]


@pytest.fixture
def commits(engine: sa.Engine) -> list[int]:
    """One more element for each transaction of the database that is committed."""
    seen: list[int] = []
    sa.event.listen(engine, "commit", lambda connection: seen.append(1))
    return seen


async def run(grouped: GroupedLedger, request: Reservation, answer: bytes = b"a") -> Entry:
    await grouped.write(request.tenant, lambda ledger: ledger.reserve(request))
    return await grouped.write(
        request.tenant,
        lambda ledger: ledger.settle(request.request_id, usage(), charge(), answer),
    )


def test_who_waits_at_the_same_time_shares_a_commit(
    ledger: Ledger, engine: sa.Engine, reservation: Make, commits: list[int]
) -> None:
    count = 3 * MAX_GROUP

    async def all_at_once() -> list[Entry]:
        grouped = GroupedLedger(ledger)
        tenants = ("acme", "other", "third")
        requests = [reservation(tenant=tenants[n % 3]) for n in range(count)]
        return await asyncio.gather(*(run(grouped, request) for request in requests))

    entries = asyncio.run(all_at_once())
    assert len({(entry.tenant, entry.number) for entry in entries}) == count
    # Two operations each: alone, they would have been so many commits.
    assert 2 * count / MAX_GROUP <= len(commits) < count / 4
    assert verify(engine) == (count, [])


def test_one_that_fails_does_not_spoil_the_others(
    ledger: Ledger, engine: sa.Engine, reservation: Make, commits: list[int]
) -> None:
    known = reservation(request_id="known", idempotency_key="k")
    ledger.reserve(known)
    commits.clear()

    def writes_then_fails(inner: Ledger) -> None:
        inner.reserve(reservation(request_id="half", amount_micro=500))
        inner.settle("nowhere", usage(), charge(), b"")

    operations: list[Callable[[Ledger], Any]] = [
        lambda inner: inner.reserve(reservation()),
        lambda inner: inner.reserve(reservation(amount_micro=10, budget_micro=9)),
        lambda inner: inner.settle("unknown", usage(), charge(), b""),
        lambda inner: inner.reserve(reservation(request_id="known")),
        lambda inner: inner.reserve(
            reservation(idempotency_key="k", request_hash=known.request_hash)
        ),
        writes_then_fails,
        lambda inner: inner.settle("known", usage(), charge(), b"the answer"),
        lambda inner: inner.reserve(
            reservation(idempotency_key="k", request_hash=known.request_hash)
        ),
    ]

    async def at_once() -> list[Any]:
        grouped = GroupedLedger(ledger)
        written = (grouped.write("acme", each) for each in operations)
        return await asyncio.gather(*written, return_exceptions=True)

    first, budget, unknown, taken, under_way, half, settled, again = asyncio.run(at_once())
    assert isinstance(first, Reserved)
    assert isinstance(budget, BudgetExceededError)
    assert isinstance(unknown, UnknownRequestError)
    assert isinstance(taken, LedgerError) and "is taken" in str(taken)
    assert isinstance(under_way, RequestInProgressError)
    assert isinstance(half, UnknownRequestError)
    assert isinstance(settled, Entry) and settled.number == 1
    assert again == Replay("known", b"the answer")
    assert len(commits) == 1
    # What the one wrote before it failed is gone, and so is its money.
    with engine.connect() as connection:
        ids = connection.scalars(sa.select(schema.requests.c.request_id)).all()
        account = connection.execute(sa.select(schema.accounts)).one()
    assert sorted(ids) == sorted(["known", first.request_id])
    assert (account.spent_micro, account.reserved_micro) == (700, 1000)
    assert verify(engine) == (1, [])


def test_groups_are_careful_for_a_while_after_a_failure(
    ledger: Ledger, engine: sa.Engine, reservation: Make
) -> None:
    statements: list[str] = []
    sa.event.listen(engine, "savepoint", lambda connection, name: statements.append(name))
    rolled_back: list[int] = []
    sa.event.listen(engine, "rollback", lambda connection: rolled_back.append(1))

    async def ask() -> list[tuple[int, int]]:
        grouped, seen = GroupedLedger(ledger), []
        for number in range(CAREFUL_GROUPS + 3):
            limits = {"amount_micro": 10, "budget_micro": 9 if number == 1 else None}
            asked = [reservation(**limits), reservation()]
            before = len(statements), len(rolled_back)
            results = await asyncio.gather(
                *(
                    grouped.write("acme", lambda inner, each=each: inner.reserve(each))
                    for each in asked
                ),
                return_exceptions=True,
            )
            assert isinstance(results[0], BudgetExceededError) == (number == 1)
            assert isinstance(results[1], Reserved)
            seen.append((len(statements) - before[0], len(rolled_back) - before[1]))
        return seen

    seen = asyncio.run(ask())
    assert seen[0] == (0, 0)
    assert seen[1] == (2, 1)  # written again, with a savepoint for each
    assert seen[2 : CAREFUL_GROUPS + 1] == [(2, 0)] * (CAREFUL_GROUPS - 1)
    assert seen[CAREFUL_GROUPS + 1 :] == [(0, 0)] * 2


def test_a_race_for_a_budget_among_gateways_overspends_nothing(
    ledger: Ledger, engine: sa.Engine, reservation: Make, clock: Callable
) -> None:
    """Two gateways, each with its own loop and groups, and tenants in opposite orders."""
    requests = [
        reservation(tenant=tenant, amount_micro=10, budget_micro=300)
        for tenant in ("acme", "other") * 100
    ]
    ran: list[str] = []

    def gateway(name: str, mine: list[Reservation]) -> None:
        async def ask(grouped: GroupedLedger, request: Reservation) -> None:
            try:
                await grouped.write(request.tenant, lambda inner: inner.reserve(request))
            except BudgetExceededError:
                return
            await grouped.write(
                request.tenant,
                lambda inner: inner.settle(request.request_id, usage(), charge(10), b""),
            )
            ran.append(request.tenant)

        async def all_at_once() -> None:
            grouped = GroupedLedger(Ledger(engine, name, clock))
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
    async def ask(grouped: GroupedLedger, number: int) -> bytes:
        request = reservation(idempotency_key="k", request_hash="a" * 64)
        while True:
            try:
                got = await grouped.write("acme", lambda inner: inner.reserve(request))
            except RequestInProgressError:
                await asyncio.sleep(0)
                continue
            if isinstance(got, Replay):
                return got.answer
            answer = f"answer {number}".encode()
            await grouped.write(
                "acme",
                partial(
                    Ledger.settle,
                    request_id=request.request_id,
                    usage=usage(),
                    charge=charge(),
                    answer=answer,
                ),
            )
            return answer

    async def storm() -> list[bytes]:
        grouped = GroupedLedger(ledger)
        return await asyncio.gather(*(ask(grouped, number) for number in range(50)))

    assert len(set(asyncio.run(storm()))) == 1
    assert verify(engine) == (1, [])


def test_what_is_begun_is_done_though_nobody_waits(
    ledger: Ledger, engine: sa.Engine, reservation: Make
) -> None:
    async def give_up() -> None:
        grouped = GroupedLedger(ledger)
        waiting = [asyncio.create_task(run(grouped, reservation())) for _ in range(3)]
        await asyncio.sleep(0)  # each has asked
        waiting[1].cancel()
        first, second, third = await asyncio.gather(*waiting, return_exceptions=True)
        assert (first.number, third.number) == (1, 2)  # type: ignore[union-attr]
        assert isinstance(second, asyncio.CancelledError)

    asyncio.run(give_up())
    with engine.connect() as connection:
        states = connection.scalars(sa.select(schema.requests.c.state)).all()
    assert sorted(states) == ["reserved", "settled", "settled"]
