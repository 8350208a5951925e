"""Lines of the ledger to be read: a page of a tenant's, and what the newest say of a model."""

from __future__ import annotations

import datetime
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

import sqlalchemy as sa

from serving.gateway.tenants import is_name, no_tenant
from serving.ledger import schema
from serving.ledger.database import reading
from serving.ledger.records import MAX_INTEGER

MAX_TENANTS: Final = 20
"""Of how many tenants the newest charges are read to compare versions."""
NEWEST: Final = 40
"""How many charges of each of them."""

_COLUMNS: Final = (
    *("number", "kind", "created_at", "request_id", "model", "model_version"),
    *("input_tokens", "cached_tokens", "output_tokens", "amount_micro", "currency"),
    *("price_id", "latency_ms", "finish_reasons", "reason", "made_by"),
)


@dataclass(frozen=True, slots=True)
class Line:
    """An entry of a tenant's chain.

    Attributes:
      kind: charge, reversal, refund or top_up.
      created_at: UTC.
      amount_micro: in millionths.
      reason, made_by: of what people have added; empty for charges.
    """

    number: int
    kind: str
    created_at: datetime.datetime
    request_id: str
    model: str
    model_version: str
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    amount_micro: int
    currency: str
    price_id: str
    latency_ms: int
    finish_reasons: str
    reason: str
    made_by: str


@dataclass(slots=True)
class VersionSample:
    """What the newest charges say of a version.

    Attributes:
      charges: how many were read.
      latency_ms, output_tokens: sums.
      finish_reasons: how often each one ended a summary.
    """

    charges: int = 0
    latency_ms: int = 0
    output_tokens: int = 0
    finish_reasons: Counter[str] = field(default_factory=Counter)


def read_entries(
    engine: sa.Engine, tenant: str, limit: int, before: int | None = None
) -> list[Line]:
    """Read a tenant's entries, the newest first. Those of archived months are not there.

    Args:
      limit: so many at most.
      before: only entries with a lower number; None: from the newest on.

    Raises:
      NoSuchTenantError: no tenant can have this name.
    """
    if not is_name(tenant):
        raise no_tenant(tenant)
    entries = schema.entries.c
    query = (
        sa.select(*(entries[name] for name in _COLUMNS))
        .where(entries.tenant == tenant)
        .where(entries.number < (MAX_INTEGER if before is None else before))
        .order_by(entries.number.desc())
        .limit(limit)
    )
    with reading(engine) as connection:
        return [Line(*row) for row in connection.execute(query)]


def sample_versions(
    engine: sa.Engine, model: str, day: str, most_tenants: int = MAX_TENANTS
) -> dict[str, VersionSample]:
    """Compare a model's versions by the newest charges: `NEWEST` of each of some tenants, those
    who have used most of it on a day. So few are read, however many there are.

    Args:
      day: UTC, such as 2026-11-28.
    """
    usage, entries = schema.daily_usage.c, schema.entries.c
    active = (
        sa.select(usage.tenant)
        .where(usage.model == model, usage.day == day)
        .group_by(usage.tenant)
        .order_by(sa.func.sum(usage.requests).desc(), usage.tenant)
        .limit(most_tenants)
    )
    found: dict[str, VersionSample] = {}
    with reading(engine) as connection:
        for tenant in connection.scalars(active).all():
            newest = (
                sa.select(
                    entries.model,
                    entries.kind,
                    entries.model_version,
                    entries.latency_ms,
                    entries.output_tokens,
                    entries.finish_reasons,
                )
                .where(entries.tenant == tenant)
                .order_by(entries.number.desc())
                .limit(NEWEST)
            )
            for row in connection.execute(newest):
                if row.kind == "charge" and row.model == model:
                    sample = found.setdefault(row.model_version, VersionSample())
                    sample.charges += 1
                    sample.latency_ms += row.latency_ms
                    sample.output_tokens += row.output_tokens
                    sample.finish_reasons.update(filter(None, row.finish_reasons.split(",")))
    return found
