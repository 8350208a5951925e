"""Accounts count the entries of their month: what a tenant has used is read from sums alone.

Revision ID: 0007
Revises: 0006
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.add_column(
        "accounts", sa.Column("entry_count", sa.BigInteger, nullable=False, server_default="0")
    )
    op.execute(
        "INSERT INTO accounts (tenant, month, spent_micro, reserved_micro, entry_count) "
        "SELECT e.tenant, r.month, 0, 0, count(*) "
        "FROM entries e JOIN requests r ON r.request_id = e.request_id "
        "WHERE e.number > 0 GROUP BY e.tenant, r.month "
        "ON CONFLICT (tenant, month) DO UPDATE SET entry_count = excluded.entry_count"
    )
