"""A clock that jumps anywhere between any two steps: nothing negative, nothing lost."""

from __future__ import annotations

import datetime
import itertools
from collections import Counter
from typing import Protocol

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from serving.billing.invoice import make_invoice
from serving.ledger import BudgetExceededError, Ledger, Reservation, schema
from serving.ledger.verification import verify
from tests.serving.ledger.ledger_values import charge, usage
from tests.support.sizes import sized

EXAMPLES = sized(quick=15, long=400)
SEED = 20261125
BUDGET = 2500
# Around the ends of months, where it matters, and anywhere.
TIMES = st.one_of(
    st.sampled_from(
        [
            datetime.datetime(2026, 11, 30, 23, 59, 59, 999_999),
            datetime.datetime(2026, 12, 1),
            datetime.datetime(2026, 12, 31, 23, 59, 59, 999_999),
            datetime.datetime(2027, 1, 1),
        ]
    ),
    st.datetimes(datetime.datetime(2020, 1, 1), datetime.datetime(2030, 12, 31)),
)
STEPS = st.lists(
    st.tuples(TIMES, st.sampled_from(["reserve", "reserve", "settle", "release", "reverse"])),
    max_size=25,
)


class _Clock(Protocol):
    now: datetime.datetime


@pytest.mark.sized
def test_any_jumps(engine: sa.Engine, ledger: Ledger, clock: _Clock) -> None:
    numbers = itertools.count(1)

    @seed(SEED)
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(STEPS, st.integers(0, 1000))
    def jumps(steps: list[tuple[datetime.datetime, str]], cost: int) -> None:
        tenant = f"tenant-{next(numbers)}"
        open_requests: list[tuple[str, str]] = []
        reserved, spent = Counter[str](), Counter[str]()
        months: dict[int, str] = {}
        reversed_before: set[int] = set()
        for time, step in steps:
            clock.now = time
            if step == "reserve":
                month = f"{time:%Y-%m}"
                request_id = f"{tenant}/{next(numbers)}"
                reservation = Reservation(request_id, tenant, 1000, "0" * 64, BUDGET)
                fits = reserved[month] + spent[month] + 1000 <= BUDGET
                try:
                    ledger.reserve(reservation)
                except BudgetExceededError:
                    assert not fits
                else:
                    assert fits
                    open_requests.append((request_id, month))
                    reserved[month] += 1000
            elif step in ("settle", "release") and open_requests:
                request_id, month = open_requests.pop(0)
                reserved[month] -= 1000
                if step == "release":
                    assert ledger.release(request_id)
                else:
                    entry = ledger.settle(request_id, usage(), charge(cost), b"answer")
                    spent[month] += cost
                    months[entry.number] = month
            elif step == "reverse" and (left := sorted(set(months) - reversed_before)):
                ledger.reverse(tenant, left[0], "a test", "pat")
                reversed_before.add(left[0])
                spent[months[left[0]]] -= cost
        with engine.connect() as connection:
            accounts = connection.execute(
                sa.select(schema.accounts).where(schema.accounts.c.tenant == tenant)
            ).all()
            entries = connection.execute(
                sa.select(schema.entries).where(schema.entries.c.tenant == tenant)
            ).all()
        assert {a.month: (a.spent_micro, a.reserved_micro) for a in accounts} == {
            month: (spent[month], reserved[month]) for month in {*reserved, *spent}
        }
        assert all(a.spent_micro >= 0 and a.reserved_micro >= 0 for a in accounts)
        assert verify(engine, tenant) == (len(entries), [])
        # Every entry is on one invoice, of its own month or a later one.
        created = {f"{entry.created_at:%Y-%m}" for entry in entries}
        invoices = [make_invoice(engine, tenant, month) for month in created]
        assert sum(i.last_entry - i.first_entry + 1 for i in invoices) == len(entries)
        assert sum(i.total_micro for i in invoices) == sum(spent.values())

    jumps()
