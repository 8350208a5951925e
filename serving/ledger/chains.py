"""The beginning of a tenant's chain, which is there before its first entry."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

from serving.ledger.chain import FIRST_HASH

_ADD: Final = sa.text(
    "INSERT INTO chains (tenant, number, hash) VALUES (:tenant, 0, :first) "
    "ON CONFLICT (tenant) DO NOTHING"
)


def add_chain(connection: sa.Connection, tenant: str) -> None:
    """Begin a tenant's chain, with no entry; harmless where it has begun."""
    connection.execute(_ADD, {"tenant": tenant, "first": FIRST_HASH})
