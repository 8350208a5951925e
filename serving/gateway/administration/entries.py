"""Lines of the ledger to be read: a page of a tenant's."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from serving.gateway.tenants import is_name, no_tenant
from serving.ledger import schema
from serving.ledger.database import reading
from serving.ledger.records import MAX_INTEGER

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
