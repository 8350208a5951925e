"""Many requests race for the same thing, in groups of many gateways: one of them has it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import aclosing

import sqlalchemy as sa

from serving.ledger import (
    BudgetExceededError,
    Ledger,
    Replay,
    RequestInProgressError,
    Reservation,
)
from serving.ledger.group_commit import GroupCommit
from serving.ledger.verification import verify
from tests.serving.ledger.ledger_values import charge, usage
from tests.serving.ledger.standing_clock import Clock

Make = Callable[..., Reservation]


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
