"""What a tenant has used in a month, from the ledger."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from serving.gateway.tenants import Caller
from serving.ledger import schema
from serving.ledger.clock import Clock
from serving.ledger.database import reading


def usage_of_month(
    engine: sa.Engine, caller: Caller, month: str | None, clock: Clock
) -> dict[str, Any]:
    """Tokens and money of a calendar month, UTC.

    Args:
      month: such as ``2026-11``; None for this one.
      clock: UTC.
    """
    if month is None:
        month = f"{clock():%Y-%m}"
    entries, requests, accounts = schema.entries.c, schema.requests.c, schema.accounts.c
    with reading(engine) as connection:
        # By the month that paid, which is that of the reservation.
        total = connection.execute(
            sa.select(
                *(
                    sa.func.coalesce(sa.func.sum(column), 0).label(column.name)
                    for column in (
                        entries.input_tokens,
                        entries.cached_tokens,
                        entries.output_tokens,
                        entries.amount_micro,
                    )
                ),
                sa.func.count().label("entries"),
            )
            .join(schema.requests, requests.request_id == entries.request_id)
            .where(entries.tenant == caller.tenant, requests.month == month)
        ).one()
        account = connection.execute(
            sa.select(schema.accounts).where(
                accounts.tenant == caller.tenant, accounts.month == month
            )
        ).one_or_none()
    budget = caller.limits.budget_micro
    used = account.spent_micro + account.reserved_micro if account else 0
    return {
        "tenant": caller.tenant,
        "month": month,
        **{str(name): int(value) for name, value in total._mapping.items()},
        "reserved_micro": account.reserved_micro if account else 0,
        "budget_micro": budget,
        "remaining_micro": None if budget is None else max(0, budget - used),
    }
