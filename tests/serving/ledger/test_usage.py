"""What a month has used is read from sums, which are those of its entries."""

from __future__ import annotations

import random
from collections.abc import Callable

import sqlalchemy as sa

from serving.ledger import Ledger, Reservation, schema
from serving.ledger.database import writing
from serving.ledger.usage import MonthUsage
from serving.ledger.verification import verify
from tests.serving.ledger.ledger_values import charge, usage
from tests.serving.ledger.standing_clock import Clock

Make = Callable[..., Reservation]


def test_what_a_month_has_used_is_what_its_entries_add_up_to(
    ledger: Ledger, engine: sa.Engine, clock: Clock, reservation: Make
) -> None:
    numbers = random.Random(21)
    for _ in range(60):
        clock.now = clock.now.replace(month=numbers.choice([10, 11]))
        request = reservation(tenant=numbers.choice(["acme", "beta"]))
        ledger.reserve(request)
        if numbers.random() < 0.2:
            ledger.release(request.request_id)
            continue
        used = usage(
            model=numbers.choice(["summarizer", "other"]),
            input_tokens=numbers.randint(1, 99),
            cached_tokens=numbers.randint(0, 1),
            output_tokens=numbers.randint(0, 9),
        )
        entry = ledger.settle(request.request_id, used, charge(numbers.randint(0, 900)), b"")
        if numbers.random() < 0.2:
            ledger.reverse(entry.tenant, entry.number, "a test", "pat")
    ledger.reserve(reservation(tenant="acme"))
    assert verify(engine)[1] == []
    for tenant in ("acme", "beta"):
        for month in ("2026-10", "2026-11"):
            assert ledger.usage(tenant, month) == summed(engine, tenant, month)
    assert ledger.usage("nobody", "2026-11") == MonthUsage(
        "nobody", "2026-11", 0, 0, 0, 0, 0, 0
    )


def summed(engine: sa.Engine, tenant: str, month: str) -> MonthUsage:
    """By going through everything."""
    with engine.connect() as connection:
        entries = connection.execute(
            sa.select(schema.entries).where(
                schema.entries.c.tenant == tenant, schema.entries.c.month == month
            )
        ).all()
        reserved = connection.scalars(
            sa.select(schema.requests.c.reserved_micro).where(
                schema.requests.c.tenant == tenant,
                schema.requests.c.month == month,
                schema.requests.c.state == "reserved",
            )
        ).all()
    names = ("input_tokens", "cached_tokens", "output_tokens", "amount_micro")
    sums = {name: sum(getattr(entry, name) for entry in entries) for name in names}
    return MonthUsage(tenant, month, entries=len(entries), reserved_micro=sum(reserved), **sums)


def test_no_entry_is_read_for_it(ledger: Ledger, engine: sa.Engine, reservation: Make) -> None:
    """It works though the tables are gone that grow with every request."""
    ledger.reserve(reservation())
    ledger.settle("request-1", usage(), charge(), b"")
    with writing(engine) as connection:
        for table in ("entries", "requests"):
            connection.execute(sa.text(f"ALTER TABLE {table} RENAME TO lost_{table}"))
    assert ledger.usage("acme", "2026-11") == MonthUsage(
        "acme", "2026-11", 120, 0, 30, 700, 1, 0
    )


def test_a_count_that_says_something_else_is_found(
    ledger: Ledger, engine: sa.Engine, reservation: Make
) -> None:
    ledger.reserve(reservation())
    ledger.settle("request-1", usage(), charge(), b"")
    with writing(engine) as connection:
        connection.execute(schema.accounts.update().values(entry_count=2))
    assert [str(each) for each in verify(engine)[1]] == [
        "acme: 2 entries are counted in 2026-11 according to its account. Expected: 1"
    ]
