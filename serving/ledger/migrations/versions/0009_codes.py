"""Entries may be authenticated with a key.

Revision ID: 0009
Revises: 0008
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.add_column(
        "entries", sa.Column("code", sa.String(96), nullable=False, server_default="")
    )
