"""What a tenant has used in a month, from the ledger."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import sqlalchemy as sa

from serving.gateway.tenants import Caller
from serving.ledger import usage as ledger_usage
from serving.ledger.clock import Clock
from serving.ledger.months import month_bounds


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
    used = ledger_usage.usage_of_month(engine, caller.tenant, month)
    budget = caller.limits.budget_micro
    lefts = [ledger_usage.credit_left(engine, caller.tenant)]
    if budget is not None:
        lefts.append(budget - used.amount_micro - used.reserved_micro)
    left = min((each for each in lefts if each is not None), default=None)
    return {
        **asdict(used),
        "budget_micro": budget,
        "remaining_micro": None if left is None else max(0, left),
        "key_budget": _key_budget(engine, caller, month),
    }


def _key_budget(engine: sa.Engine, caller: Caller, month: str) -> dict[str, Any] | None:
    """Of the key that asks, within its tenant's budget; None: it has none of its own."""
    budget = caller.key_budget_micro
    if budget is None:
        return None
    used = ledger_usage.used_of_key(engine, caller.tenant, caller.key_id, month)
    _, end = month_bounds(month)
    return {
        "key_id": caller.key_id,
        "budget_micro": budget,
        "used_micro": used,
        "remaining_micro": max(0, budget - used),
        "resets_at": f"{end.isoformat(timespec='seconds')}Z",
    }
