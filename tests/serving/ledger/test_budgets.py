"""Prepaid credit is never overspent; a budget's shares are alerted of once, by the charge that
reaches them."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from contextlib import aclosing
from typing import Any

import pytest
import sqlalchemy as sa

from serving.billing.audit import audit
from serving.billing.invoice import make_invoice
from serving.billing.invoice_document import make_document
from serving.gateway.administration import Administrator, change_alerts
from serving.gateway.tenants import Limits, NoSuchTenantError
from serving.ledger import (
    CreditExhaustedError,
    Ledger,
    LedgerError,
    Reservation,
    schema,
)
from serving.ledger.budgets import percents_from_text
from serving.ledger.database import writing
from serving.ledger.group_commit import GroupCommit
from serving.ledger.usage import credit_left
from serving.ledger.verification import verify
from tests.serving.ledger.ledger_values import charge, usage
from tests.serving.ledger.month_prices import BOOK
from tests.serving.ledger.standing_clock import START, Clock
from tests.support.tenants import add_tenant

Make = Callable[..., Reservation]


def spend(ledger: Ledger, request: Reservation, amount: int) -> None:
    ledger.reserve(request)
    ledger.settle(request.request_id, usage(), charge(amount), b"")


def events(engine: sa.Engine, kind: str) -> list[dict[str, Any]]:
    """Those in the outbox, the oldest first."""
    with engine.connect() as connection:
        query = sa.select(schema.outbox.c.event).order_by(schema.outbox.c.id)
        all_of_them = [json.loads(event) for event in connection.scalars(query)]
    return [event for event in all_of_them if event["type"] == kind]


def test_a_tenant_who_pays_in_advance_is_refused_when_it_is_used_up(
    ledger: Ledger, engine: sa.Engine, reservation: Make
) -> None:
    spend(ledger, reservation(), 900)  # before: on an invoice
    entry = ledger.top_up("acme", 1500, "EUR", "payment 17", "pat")
    assert (entry.number, entry.kind, entry.amount_micro) == (2, "top_up", -1500)
    first, second = reservation(), reservation()
    ledger.reserve(first)
    with pytest.raises(CreditExhaustedError, match=r"500 millionths are neither.*: 1000") as no:
        ledger.reserve(second)
    assert (no.value.left_micro, no.value.asked_micro) == (500, 1000)
    assert credit_left(engine, "acme") == 500
    ledger.settle(first.request_id, usage(), charge(300), b"")
    assert (credit_left(engine, "acme"), credit_left(engine, "other")) == (1200, None)
    ledger.reserve(second)
    ledger.release(second.request_id)
    spend(ledger, reservation(amount_micro=1200), 1200)
    with pytest.raises(CreditExhaustedError, match="0 millionths"):
        ledger.reserve(reservation(amount_micro=0))
    ledger.top_up("acme", 1, "EUR", "payment 18", "pat")
    spend(ledger, reservation(amount_micro=1), 1)
    # What is given back returns to the credit.
    ledger.reverse("acme", 3, "a wrong text", "pat")
    spend(ledger, reservation(amount_micro=300), 300)
    assert verify(engine) == (8, [])


def test_credit_of_0_refuses_everything_and_other_tenants_are_not_concerned(
    ledger: Ledger, engine: sa.Engine, reservation: Make
) -> None:
    ledger.top_up("acme", 0, "EUR", "pays in advance", "pat")
    with pytest.raises(CreditExhaustedError):
        ledger.reserve(reservation())
    spend(ledger, reservation(tenant="other"), 700)
    assert verify(engine) == (2, [])


def test_a_top_up_is_added_once_and_pays_back_what_is_left_at_most(
    ledger: Ledger, engine: sa.Engine
) -> None:
    ledger.top_up("acme", 100, "EUR", "payment 17", "pat", "payment-17")
    with pytest.raises(LedgerError, match="payment-17 is already in the ledger"):
        ledger.top_up("acme", 100, "EUR", "payment 17", "pat", "payment-17")
    with pytest.raises(LedgerError, match=r"100 millionths of the tenant's credit.*: -101"):
        ledger.top_up("acme", -101, "EUR", "paid back", "pat")
    with pytest.raises(LedgerError, match="top-up needs a reason"):
        ledger.top_up("acme", 1, "EUR", "", "pat")
    ledger.top_up("acme", -100, "EUR", "paid back", "pat")
    assert verify(engine) == (2, [])
    first, _ = events(engine, "tallygraph.credit")
    assert first["id"] == "payment-17/top_up"
    assert events(engine, "tallygraph.usage") == []


def test_credit_that_was_changed_by_hand_is_found(ledger: Ledger, engine: sa.Engine) -> None:
    ledger.top_up("acme", 100, "EUR", "payment 17", "pat")
    with writing(engine) as connection:
        connection.execute(schema.chains.update().values(credit_micro=1000))
    ((finding,),) = (verify(engine)[1],)
    assert "credit is Credit(since=1, bought_micro=1000, used_micro=0)" in finding.what


def test_gateways_that_race_for_the_credit_overspend_nothing(
    ledger: Ledger, engine: sa.Engine, reservation: Make, clock: Clock
) -> None:
    ledger.top_up("acme", 300, "EUR", "payment 17", "pat")
    requests = [reservation(amount_micro=10) for _ in range(60)]
    served: list[int] = []

    def gateway(name: str, mine: list[Reservation]) -> None:
        async def ask(grouped: GroupCommit, request: Reservation) -> None:
            try:
                await grouped.reserve(request)
            except CreditExhaustedError:
                return
            await grouped.settle(request.request_id, usage(), charge(10), b"")
            served.append(1)

        async def all_at_once() -> None:
            async with aclosing(GroupCommit(Ledger(engine, name, clock))) as grouped:
                await asyncio.gather(*(ask(grouped, request) for request in mine))

        asyncio.run(all_at_once())

    threads = [
        threading.Thread(target=gateway, args=(f"gateway-{n}", requests[n::3]))
        for n in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(served) == 30
    assert verify(engine) == (31, [])


def test_the_invoice_takes_off_what_was_paid_in_advance(
    ledger: Ledger, engine: sa.Engine, reservation: Make
) -> None:
    spend(ledger, reservation(amount_micro=10**6), 10**6)
    ledger.top_up("acme", 10**7, "EUR", "payment 17", "pat")
    for _ in range(3):
        spend(ledger, reservation(amount_micro=333_333), 333_333)
    made = make_invoice(engine, "acme", "2026-11")
    assert (made.requests, made.usage_micro, made.total_micro) == (4, 1_999_999, 10**6)
    assert (made.lines[-1].kind, made.lines[-1].amount_micro) == ("credit", -999_999)
    assert make_document(made, None, START).payable == "1.00"


def test_where_all_was_paid_in_advance_nothing_is_left_to_pay(
    ledger: Ledger, engine: sa.Engine, reservation: Make
) -> None:
    """Whatever its lines are rounded to."""
    ledger.top_up("acme", 10**7, "EUR", "payment 17", "pat")
    for model in ("one", "two"):
        request = reservation(amount_micro=4_000)
        ledger.reserve(request)
        ledger.settle(request.request_id, usage(model=model), charge(4_000), b"")
    for model in ("three", "four"):
        request = reservation(amount_micro=6_000)
        ledger.reserve(request)
        ledger.settle(request.request_id, usage(model=model), charge(6_000), b"")
    made = make_document(make_invoice(engine, "acme", "2026-11"), None, START)
    assert made.line_amounts_minor == (1, 0, 1, 0, -2)
    assert made.payable == "0.00"
    assert audit(engine, BOOK, "acme")[0] == 5


def budgeted(engine: sa.Engine, budget: int, percents: str = "50,80,100") -> None:
    add_tenant(engine, "acme", Limits(budget_micro=budget))
    change_alerts(Administrator(engine, "pat"), "acme", percents_from_text(percents))


def told(engine: sa.Engine) -> list[tuple[str, int, int]]:
    """The month, share and entry of each alert."""
    return [
        (event["data"]["month"], event["data"]["percent"], event["data"]["entry"])
        for event in events(engine, "tallygraph.budget")
    ]


def test_each_share_is_alerted_of_by_the_charge_that_reaches_it(
    ledger: Ledger, engine: sa.Engine, reservation: Make, clock: Clock
) -> None:
    budgeted(engine, 1000)
    for amount in (499, 1, 100, 300, 100):  # 499, 500, 600, 900, 1000
        spend(ledger, reservation(), amount)
    assert told(engine) == [("2026-11", 50, 2), ("2026-11", 80, 4), ("2026-11", 100, 5)]
    assert events(engine, "tallygraph.budget")[0] == {
        "specversion": "1.0",
        "id": "budget/acme/2026-11/50",
        "source": "tallygraph/ledger",
        "type": "tallygraph.budget",
        "subject": "acme",
        "time": "2026-11-25T12:00:00+00:00",
        "datacontenttype": "application/json",
        "data": {
            "month": "2026-11",
            "percent": 50,
            "budget_micro": 1000,
            "spent_micro": 500,
            "currency": "EUR",
            "entry": 2,
            "request_id": "request-2",
        },
    }
    # Given back and spent again: once a month.
    ledger.reverse("acme", 4, "a wrong text", "pat")
    spend(ledger, reservation(), 300)
    assert len(told(engine)) == 3
    clock.now = clock.now.replace(month=12)
    spend(ledger, reservation(), 1000)
    assert told(engine)[3:] == [("2026-12", each, 8) for each in (50, 80, 100)]
    assert verify(engine) == (8, [])


def test_one_group_of_many_charges_alerts_once(
    ledger: Ledger, engine: sa.Engine, reservation: Make
) -> None:
    budgeted(engine, 1000, "50")

    async def all_at_once() -> None:
        async with aclosing(GroupCommit(ledger)) as grouped:
            requests = [reservation(amount_micro=100) for _ in range(10)]
            await asyncio.gather(*(grouped.reserve(each) for each in requests))
            await asyncio.gather(
                *(
                    grouped.settle(each.request_id, usage(), charge(100), b"")
                    for each in requests
                )
            )

    asyncio.run(all_at_once())
    assert told(engine) == [("2026-11", 50, 5)]


def test_a_charge_that_is_settled_again_alerts_once(
    ledger: Ledger, engine: sa.Engine, reservation: Make
) -> None:
    budgeted(engine, 1000)
    request = reservation()
    spend(ledger, request, 600)
    ledger.settle(request.request_id, usage(), charge(600), b"")
    assert told(engine) == [("2026-11", 50, 1)]


def test_without_a_budget_or_shares_nothing_is_alerted_of(
    ledger: Ledger, engine: sa.Engine, reservation: Make
) -> None:
    add_tenant(engine, "acme")
    by = Administrator(engine, "pat")
    change_alerts(by, "acme", [50])
    spend(ledger, reservation(), 600)
    add_tenant(engine, "other", Limits(budget_micro=1))
    spend(ledger, reservation(tenant="other"), 600)
    assert told(engine) == []
    change_alerts(by, "acme", [])
    for name in ("nobody", "no body"):
        with pytest.raises(NoSuchTenantError):
            change_alerts(by, name, [50])


@pytest.mark.parametrize("percents", ["0", "101", "5.5", "a", ",", "-1", "1" * 500])
def test_shares_that_are_none(percents: str) -> None:
    with pytest.raises(LedgerError, match="whole numbers from 1 to 100"):
        percents_from_text(percents)
