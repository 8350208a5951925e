"""Sessions of the console that were ended, until they would be over without that.

Revision ID: 0016
Revises: 0015
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    op.create_table(
        "ended_sessions",
        sa.Column("session", sa.String(64), primary_key=True),
        sa.Column("kept_until", sa.DateTime, nullable=False),
    )
    op.create_index("ended_sessions_by_time", "ended_sessions", ["kept_until"])
