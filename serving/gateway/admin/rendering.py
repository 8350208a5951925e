"""What the admin API answers, of the records that administration returns."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from serving.gateway.administration import KeyRecord, TenantRecord
from serving.gateway.administration.prices import Prices
from serving.ledger.clock import utc_now
from serving.ledger.daily_usage import DIMENSIONS, UsageQuery, UsageRow


def key_of(record: KeyRecord) -> dict[str, Any]:
    """A key."""
    return {**asdict(record), "state": record.state(utc_now())}


def tenant_of(record: TenantRecord) -> dict[str, Any]:
    """A tenant with its keys."""
    return {**asdict(record), "keys": [key_of(each) for each in record.keys]}


def plans_of(prices: Prices) -> dict[str, Any]:
    """The plans of the price book in use."""
    book, plans = prices.book, dict[str, list[dict[str, Any]]]()
    for price in book.prices:
        plans.setdefault(price.plan, []).append(
            {"id": price.id, "model": price.model, "valid_from": price.valid_from}
        )
    listed = [{"name": name, "prices": plans[name]} for name in sorted(plans)]
    return {"currency": book.currency, "fingerprint": prices.fingerprint, "plans": listed}


def page_of_usage(query: UsageQuery, rows: Sequence[UsageRow]) -> dict[str, Any]:
    """A page of usage.

    Args:
      rows: one more than the page has, where there are more.
    """
    most = query.limit - 1
    shown = rows[:most]
    nothing: dict[str, Any] = dict.fromkeys(DIMENSIONS)
    usage = []
    for row in shown:
        counts = {name: value for name, value in asdict(row).items() if name != "of"}
        of: dict[str, Any] = {**nothing, **counts}
        of.update(zip(query.by, row.of, strict=True))
        usage.append(of)
    more = len(rows) > most
    return {"usage": usage, "next": json.dumps(shown[-1].of) if more else None}
