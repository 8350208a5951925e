"""What is left of budgets, and which tenants there are: read when metrics are scraped."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import sqlalchemy as sa

from serving.ledger import schema
from serving.ledger.clock import Clock, utc_now
from serving.ledger.database import reading

MAX_BUDGETS: Final = 100
"""Tenants whose budget is shown: those who have least left."""
MAX_EXPECTED: Final = 200
"""Tenants who are counted from 0: the newest, for the others have been counted."""
SAMPLE_S: Final = 15.0


class TenantsState:
    """Asks the ledger's database, no more often than every `SAMPLE_S` seconds."""

    def __init__(
        self,
        engine: sa.Engine,
        budgets: Callable[[Mapping[str, int]], None],
        expected: Callable[[Sequence[str]], None],
        clock: Clock = utc_now,
        sample_s: float = SAMPLE_S,
    ) -> None:
        """
        Args:
          budgets: is told what is left, by tenant, in millionths of the currency's unit.
          expected: is told the names of tenants.
        """
        self._engine = engine
        self._budgets = budgets
        self._expected = expected
        self._clock = clock
        self._sample_s = sample_s
        self._sampled_at = float("-inf")

    def refresh(self) -> None:
        """Ask, if it is time. A database that is out leaves what was there."""
        now = time.monotonic()
        if now < self._sampled_at + self._sample_s:
            return
        self._sampled_at = now
        try:
            with reading(self._engine) as connection:
                budgets = connection.execute(_least_left(f"{self._clock():%Y-%m}")).all()
                names = connection.scalars(_NEWEST).all()
        except sa.exc.SQLAlchemyError:
            return
        self._budgets({row[0]: row[1] for row in budgets})
        self._expected(names)


_NEWEST: Final = (
    sa.select(schema.tenants.c.name)
    .order_by(schema.tenants.c.created_at.desc(), schema.tenants.c.name)
    .limit(MAX_EXPECTED)
)


def _least_left(month: str) -> sa.Select[Any]:
    tenants, accounts = schema.tenants.c, schema.accounts.c
    used = sa.func.coalesce(accounts.spent_micro + accounts.reserved_micro, 0)
    left = tenants.budget_micro - used
    of_month = sa.and_(accounts.tenant == tenants.name, accounts.month == month)
    return (
        sa.select(tenants.name, left)
        .select_from(schema.tenants.outerjoin(schema.accounts, of_month))
        .where(tenants.budget_micro.is_not(None))
        .order_by(left, tenants.name)
        .limit(MAX_BUDGETS)
    )
