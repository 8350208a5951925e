"""Where in the month a request is priced: by the entries before it, and by nothing else."""

from __future__ import annotations

import datetime
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, cast

import pytest
import sqlalchemy as sa

from serving.billing import PriceBook
from serving.billing.audit import audit
from serving.billing.invoice import make_invoice
from serving.ledger import (
    BudgetExceededError,
    Charge,
    ChargePart,
    Entry,
    Ledger,
    LedgerError,
    Reservation,
    Usage,
    schema,
)
from serving.ledger.database import writing
from serving.ledger.verification import verify
from tests.serving.ledger.ledger_values import charge, usage
from tests.serving.ledger.month_prices import BOOK, PRICE, PRICING
from tests.serving.ledger.standing_clock import Clock

Make = Callable[..., Reservation]


def whole(input_tokens: int, output_tokens: int) -> int:
    """What a month's tokens cost, worked out by hand from the prices above."""
    return sum(
        (2 * tokens * price + 1000) // 2000
        for tokens, price in (
            (max(0, min(input_tokens, 2000) - 500), 333),
            (max(0, input_tokens - 2000), 250),
            (min(output_tokens, 500), 1750),
            (max(0, output_tokens - 500), 1000),
        )
    )


def total(engine: sa.Engine) -> int:
    with engine.connect() as connection:
        return int(connection.scalar(sa.select(sa.func.sum(schema.entries.c.amount_micro))))


def test_requests_at_once_are_priced_one_after_another(
    ledger: Ledger, engine: sa.Engine, reservation: Make
) -> None:
    """On many connections: each begins where another ended, and the month costs what it is."""
    numbers = random.Random(6)
    used = [
        usage(input_tokens=numbers.randint(0, 80), output_tokens=numbers.randint(0, 20))
        for _ in range(100)
    ]

    def run(used: Usage) -> Entry:
        request = reservation(amount_micro=PRICE.most_micro(80, 20))
        ledger.reserve(request)
        return ledger.settle(request.request_id, used, PRICING, b"answer")

    with ThreadPoolExecutor(12) as pool:
        entries = sorted(pool.map(run, used), key=lambda entry: entry.number)
    ends = (0, 0)
    for entry in entries:
        assert (entry.input_tokens_before, entry.output_tokens_before) == ends
        ends = (ends[0] + entry.input_tokens, ends[1] + entry.output_tokens)
    assert ends[0] > 2000
    assert ends[1] > 500
    assert total(engine) == whole(*ends)
    assert verify(engine) == (100, [])
    assert audit(engine, BOOK) == (100, [])
    invoice = make_invoice(engine, "acme", "2026-11")
    assert [
        (line.meter, line.tier, line.tokens, line.amount_micro) for line in invoice.lines
    ] == [
        ("input", 0, 500, 0),
        ("input", 1, 1500, 500),  # 499.5
        ("input", 2, ends[0] - 2000, whole(ends[0], 0) - 500),
        ("output", 1, 500, 875),
        ("output", 2, ends[1] - 500, whole(0, ends[1]) - 875),
    ]
    assert invoice.total_micro == total(engine)


def test_a_month_a_model_and_a_tenant_have_counts_of_their_own(
    ledger: Ledger, engine: sa.Engine, reservation: Make, clock: Clock
) -> None:
    def ask(model: str = "summarizer", **changes: object) -> Entry:
        request = reservation(**changes)
        ledger.reserve(request)
        return ledger.settle(request.request_id, usage(model=model), PRICING, b"")

    assert [ask().input_tokens_before for _ in range(2)] == [0, 120]
    assert ask(model="other").input_tokens_before == 0
    assert ask(tenant="beta").input_tokens_before == 0
    # Reserved in November, settled in December: November's, whose budget it was.
    late = reservation()
    ledger.reserve(late)
    clock.now += datetime.timedelta(days=6)
    assert ask().input_tokens_before == 0
    entry = ledger.settle(late.request_id, usage(), PRICING, b"")
    assert (entry.month, entry.input_tokens_before) == ("2026-11", 240)
    assert verify(engine) == (6, [])
    # Its line is December's invoice's, and says whose tiers it is in.
    lines = make_invoice(engine, "acme", "2026-12").lines
    assert {(line.month, line.meter) for line in lines} == {
        (month, meter) for month in ("2026-11", "2026-12") for meter in ("input", "output")
    }


def test_a_reversal_gives_the_money_and_the_tokens_back(
    ledger: Ledger, engine: sa.Engine, reservation: Make, clock: Clock
) -> None:
    def ask() -> Entry:
        request = reservation()
        ledger.reserve(request)
        counts = usage(input_tokens=400, output_tokens=300)
        return ledger.settle(request.request_id, counts, PRICING, b"")

    first, second = ask(), ask()
    clock.now += datetime.timedelta(days=10)  # in December, and still November's
    back = ledger.reverse("acme", second.number, "a wrong text", "pat")
    assert back.amount_micro == -second.amount_micro
    assert (back.month, back.input_tokens_before, back.output_tokens_before) == (
        "2026-11",
        800,
        600,
    )
    clock.now -= datetime.timedelta(days=10)
    # The next one begins where the reversed one did, and costs the same.
    third = ask()
    assert (third.input_tokens_before, third.amount_micro) == (400, second.amount_micro)
    assert total(engine) == whole(800, 600)
    # What was charged before a charge that is reversed stays as it was charged: its entries are
    # never changed. Here 400 of the 500 free tokens are given back, and used from then on.
    ledger.reverse("acme", first.number, "a wrong text", "pat")
    assert total(engine) == third.amount_micro
    fourth = ask()
    assert fourth.input_tokens_before == 400
    assert verify(engine) == (6, [])
    assert audit(engine, BOOK) == (6, [])


def test_a_budget_is_hard_in_every_tier(
    ledger: Ledger, engine: sa.Engine, reservation: Make
) -> None:
    """Free requests are reserved for as if they were not, and settled for nothing."""
    most = PRICE.most_micro(100, 0)
    ran = 0
    for _ in range(30):
        request = reservation(amount_micro=most, budget_micro=150)
        try:
            ledger.reserve(request)
        except BudgetExceededError:
            break
        counts = usage(input_tokens=100, output_tokens=0)
        ledger.settle(request.request_id, counts, PRICING, b"")
        ran += 1
    # Five for nothing, then 33.3 each: no more than fit, and no fewer.
    assert (ran, total(engine), most) == (9, 133, 36)


def test_parts_must_be_of_the_tokens_used(ledger: Ledger, reservation: Make) -> None:
    ledger.reserve(reservation())
    parts = (ChargePart("input", 1, 119, 1000, 119),)
    with pytest.raises(LedgerError, match=r"used \(120, 0, 30\) tokens .* is of \(119, 0, 0\)"):
        ledger.settle("request-1", usage(), Charge(119, "EUR", "p", parts), b"")
    with pytest.raises(ValueError, match="must add up to the 120 millionths"):
        Charge(120, "EUR", "p", parts)
    with pytest.raises(ValueError, match="A meter must be one of"):
        ChargePart(cast(Any, "inptu"), 1, 119, 1000, 119)


def test_a_pricing_that_asks_for_more_than_was_reserved(
    ledger: Ledger, engine: sa.Engine, reservation: Make
) -> None:
    ledger.reserve(reservation(amount_micro=10))
    with pytest.raises(LedgerError, match="Expected: at most the 10 that are reserved"):
        ledger.settle("request-1", usage(input_tokens=5000), PRICING, b"")
    entry = ledger.settle("request-1", usage(output_tokens=1), PRICING, b"")
    assert entry.input_tokens_before == 0  # nothing of the refused one was written


def test_the_audit_names_what_is_not_the_price_books(
    ledger: Ledger, engine: sa.Engine, reservation: Make
) -> None:
    for pricing in (PRICING, charge(92), PRICING):
        request = reservation()
        ledger.reserve(request)
        ledger.settle(request.request_id, usage(), pricing, b"")
    dearer = replace(PRICE, price_micro_per_1k_output_tokens=1800)
    found = [str(each) for each in audit(engine, PriceBook("EUR", (dearer,)), "acme")[1]]
    assert len(found) == 3
    assert found[0].startswith("acme, entry 1: costs 53 millionths, in parts ")
    assert "Expected: 54, " in found[0]
    assert found[1] == (
        "acme, entry 2: was charged at the price 2026-11/summarizer, which is not in the "
        "price book"
    )
    assert "in USD, according to the price 2026-volume" in str(
        audit(engine, PriceBook("USD", (PRICE,)))[1][0]
    )


def test_what_a_month_begins_at_is_verified(
    ledger: Ledger, engine: sa.Engine, reservation: Make
) -> None:
    ledger.reserve(reservation())
    ledger.settle("request-1", usage(), PRICING, b"")
    with writing(engine) as connection:
        connection.execute(schema.month_tokens.update().values(input_tokens=0))
    assert [str(finding) for finding in verify(engine)[1]] == [
        "acme: 0 input_tokens of summarizer are counted in 2026-11. Expected: 120, "
        "according to its entries"
    ]
