"""Limits of tenants.

Revision ID: 0003
Revises: 0002
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    for name in ("requests_per_minute", "tokens_per_minute", "max_concurrent"):
        op.add_column("tenants", sa.Column(name, sa.Integer))
    op.create_index("requests_by_tenant", "requests", ["tenant", "state"])
