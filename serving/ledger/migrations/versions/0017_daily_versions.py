"""What model servers answered and failed at, by day and version: so a canary is compared with
the others over days, and by all gateways.

Revision ID: 0017
Revises: 0016
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"

_COUNTS = ("requests", "latency_ms", "summaries", "output_tokens", "stopped")


def upgrade() -> None:
    op.create_table(
        "daily_versions",
        sa.Column("day", sa.String(10), primary_key=True),
        sa.Column("model", sa.String(255), primary_key=True),
        sa.Column("version", sa.String(255), primary_key=True),
        sa.Column("error", sa.String(64), primary_key=True),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in _COUNTS),
    )
