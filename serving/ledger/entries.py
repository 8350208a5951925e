"""A tenant's entries, read back."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from serving.ledger import schema
from serving.ledger.database import reading
from serving.ledger.errors import UnknownTenantError
from serving.ledger.records import Entry


@dataclass(frozen=True, slots=True)
class Selection:
    """Which entries.

    Attributes:
      month: such as 2026-11; empty for all.
      request_id: of this request only; empty for all.
      number: this one only; None for all.
      limit: the newest so many.
    """

    tenant: str
    month: str = ""
    request_id: str = ""
    number: int | None = None
    limit: int = 20


def require_tenant(engine: sa.Engine, tenant: str) -> None:
    """Hold a name to the ledger's.

    Raises:
      UnknownTenantError: no tenant has it, and no entry.
    """
    names = (
        schema.tenants.c.name,
        schema.chains.c.tenant,
        schema.requests.c.tenant,
        schema.entries.c.tenant,
    )
    there = [sa.exists(sa.select(name).where(name == tenant)) for name in names]
    with reading(engine) as connection:
        if not connection.scalar(sa.select(sa.or_(*there))):
            raise UnknownTenantError(
                f"The ledger has no tenant {tenant[:100]!r}. `tallygraph tenants list` shows "
                "those that it has."
            )


def select_entries(engine: sa.Engine, selection: Selection) -> list[Entry]:
    """Read entries as they stand, the newest first. Whether they are whole says
    `serving.ledger.verification`.
    """
    entries = schema.entries.c
    query = sa.select(schema.entries).where(entries.tenant == selection.tenant)
    if selection.month:
        # Entries of schema version 1 do not hold it themselves.
        query = query.join(
            schema.requests, schema.requests.c.request_id == entries.request_id
        ).where(schema.requests.c.month == selection.month)
    if selection.request_id:
        query = query.where(entries.request_id == selection.request_id)
    if selection.number is not None:
        query = query.where(entries.number == selection.number)
    with reading(engine) as connection:
        rows = connection.execute(query.order_by(entries.number.desc()).limit(selection.limit))
        return [Entry(**row._mapping) for row in rows]
