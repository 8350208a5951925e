"""Entries say where in the month they were priced, and of which parts.

Entries that were there keep form 1, whose hash knows none of the new columns: their chain is
verified as it was. The months' counts are made from them.

Revision ID: 0004
Revises: 0003
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

_TEXT = sa.String(255)
_COUNTS = ("input_tokens", "cached_tokens", "output_tokens")


def upgrade() -> None:
    columns: list[sa.Column[Any]] = [
        sa.Column("form", sa.Integer, nullable=False, server_default="1"),
        sa.Column("month", sa.String(7), nullable=False, server_default=""),
        *(
            sa.Column(f"{name}_before", sa.BigInteger, nullable=False, server_default="0")
            for name in _COUNTS
        ),
        sa.Column("parts", sa.Text, nullable=False, server_default="[]"),
        sa.Column("work_hash", sa.String(64), nullable=False, server_default=""),
    ]
    for column in columns:
        op.add_column("entries", column)
    op.create_table(
        "month_tokens",
        sa.Column("tenant", _TEXT, primary_key=True),
        sa.Column("month", sa.String(7), primary_key=True),
        sa.Column("model", _TEXT, primary_key=True),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in _COUNTS),
    )
    op.execute(
        "INSERT INTO month_tokens "
        "(tenant, month, model, input_tokens, cached_tokens, output_tokens) "
        "SELECT e.tenant, r.month, e.model, sum(e.input_tokens), sum(e.cached_tokens), "
        "sum(e.output_tokens) FROM entries e JOIN requests r ON r.request_id = e.request_id "
        "GROUP BY e.tenant, r.month, e.model"
    )
