"""Leases: reservations belong to a process that renews one, not to a name.

Whoever has something reserved now gets a lease that nobody renews: it is released after a
lease's time, unless a gateway of the earlier version settles it before.

Revision ID: 0006
Revises: 0005
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

_TEXT = sa.String(255)


def upgrade() -> None:
    op.create_table(
        "leases",
        sa.Column("lease_id", _TEXT, primary_key=True),
        sa.Column("label", _TEXT, nullable=False),
        sa.Column("renewals", sa.BigInteger, nullable=False),
        sa.Column("lease_ms", sa.BigInteger, nullable=False),
        sa.Column("started_at", sa.DateTime, nullable=False),
    )
    op.execute(
        "INSERT INTO leases (lease_id, label, renewals, lease_ms, started_at) "
        "SELECT owner, owner, 0, 30000, min(created_at) FROM requests "
        "WHERE state = 'reserved' GROUP BY owner"
    )
