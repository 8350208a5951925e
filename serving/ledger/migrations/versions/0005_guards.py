"""No entry can be replaced, either; reversals say who made them; every tenant has its chain.

Entries that were there keep their schema version, whose hash knows nothing of the new column:
their chain is verified as it was.

Revision ID: 0005
Revises: 0004
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.execute("ALTER TABLE entries RENAME COLUMN form TO schema_version")
    op.add_column(
        "entries", sa.Column("made_by", sa.String(255), nullable=False, server_default="")
    )
    op.execute(
        "INSERT INTO chains (tenant, number, hash) "
        f"SELECT name, 0, '{'0' * 64}' FROM tenants "
        "WHERE name NOT IN (SELECT tenant FROM chains)"
    )
    if op.get_bind().dialect.name == "sqlite":
        # INSERT OR REPLACE deletes what is in its way, and SQLite runs no trigger for that
        # unless the connection asks for it (PRAGMA recursive_triggers). This one runs before.
        op.execute(
            "CREATE TRIGGER entries_no_replace BEFORE INSERT ON entries WHEN EXISTS ("
            "SELECT 1 FROM entries WHERE rowid = NEW.rowid "
            "UNION ALL SELECT 1 FROM entries "
            "WHERE tenant = NEW.tenant AND number = NEW.number "
            "UNION ALL SELECT 1 FROM entries "
            "WHERE request_id = NEW.request_id AND kind = NEW.kind) "
            "BEGIN SELECT RAISE(ABORT, 'entries are never changed or deleted'); END"
        )
