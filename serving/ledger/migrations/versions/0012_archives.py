"""Entries of closed months can be archived, and only what is archived can be deleted.

Revision ID: 0012
Revises: 0011
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"

_TEXT = sa.String(255)
_REFUSED = "entries are never changed or deleted"
_KEPT = "archives are never changed or deleted"
_COVERED = (
    "SELECT 1 FROM archives a WHERE a.tenant = OLD.tenant "
    "AND OLD.number BETWEEN a.first_number AND a.last_number"
)
_IS_THERE = (
    "SELECT 1 FROM entries e WHERE e.tenant = NEW.tenant AND e.number = NEW.last_number "
    "AND e.hash = NEW.last_hash"
)


def upgrade() -> None:
    op.create_table(
        "archive_files",
        sa.Column("month", sa.String(7), primary_key=True),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("entries", sa.BigInteger, nullable=False),
        sa.Column("written_at", sa.DateTime, nullable=False),
        sa.Column("removed", sa.Boolean, nullable=False),
    )
    op.create_table(
        "archives",
        sa.Column("tenant", _TEXT, primary_key=True),
        sa.Column("last_number", sa.BigInteger, primary_key=True),
        sa.Column("first_number", sa.BigInteger, nullable=False),
        sa.Column("month", sa.String(7), nullable=False),
        sa.Column("last_hash", sa.String(64), nullable=False),
        sa.Column("carried", sa.Text, nullable=False),
    )
    op.create_table(
        "archived_keys",
        sa.Column("tenant", _TEXT, primary_key=True),
        sa.Column("idempotency_key", _TEXT, primary_key=True),
        sa.Column("request_id", _TEXT, nullable=False),
        sa.Column("request_hash", sa.String(64), nullable=False),
        sa.Column("month", sa.String(7), nullable=False),
    )
    if op.get_bind().dialect.name == "postgresql":
        _guard_postgresql()
    else:
        _guard_sqlite()


def _guard_postgresql() -> None:
    """Each row that is deleted must be in an archive; all else stays refused."""
    op.execute("DROP TRIGGER entries_are_for_ever ON entries")
    op.execute(
        "CREATE TRIGGER entries_are_for_ever BEFORE UPDATE OR TRUNCATE "
        "ON entries FOR EACH STATEMENT EXECUTE FUNCTION entries_are_for_ever()"
    )
    op.execute(
        "CREATE FUNCTION entries_are_archived() RETURNS trigger LANGUAGE plpgsql AS $$ "
        f"BEGIN IF NOT EXISTS ({_COVERED}) THEN RAISE EXCEPTION '{_REFUSED}'; END IF; "
        "RETURN OLD; END $$"
    )
    op.execute(
        "CREATE TRIGGER entries_are_archived BEFORE DELETE "
        "ON entries FOR EACH ROW EXECUTE FUNCTION entries_are_archived()"
    )
    op.execute(
        "CREATE FUNCTION archives_are_for_ever() RETURNS trigger LANGUAGE plpgsql AS $$ "
        f"BEGIN RAISE EXCEPTION '{_KEPT}'; END $$"
    )
    op.execute(
        "CREATE TRIGGER archives_are_for_ever BEFORE UPDATE OR DELETE OR TRUNCATE "
        "ON archives FOR EACH STATEMENT EXECUTE FUNCTION archives_are_for_ever()"
    )
    op.execute(
        "CREATE FUNCTION archives_are_of_entries() RETURNS trigger LANGUAGE plpgsql AS $$ "
        f"BEGIN IF NOT EXISTS ({_IS_THERE}) THEN RAISE EXCEPTION "
        "'an archive ends with an entry'; END IF; RETURN NEW; END $$"
    )
    op.execute(
        "CREATE TRIGGER archives_are_of_entries BEFORE INSERT "
        "ON archives FOR EACH ROW EXECUTE FUNCTION archives_are_of_entries()"
    )


def _guard_sqlite() -> None:
    op.execute("DROP TRIGGER entries_no_delete")
    op.execute(
        "CREATE TRIGGER entries_no_delete BEFORE DELETE ON entries "
        f"WHEN NOT EXISTS ({_COVERED}) "
        f"BEGIN SELECT RAISE(ABORT, '{_REFUSED}'); END"
    )
    for change in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER archives_no_{change.lower()} BEFORE {change} ON archives "
            f"BEGIN SELECT RAISE(ABORT, '{_KEPT}'); END"
        )
    # INSERT OR REPLACE deletes without a trigger: this one runs before.
    op.execute(
        "CREATE TRIGGER archives_no_replace BEFORE INSERT ON archives WHEN EXISTS ("
        "SELECT 1 FROM archives WHERE rowid = NEW.rowid UNION ALL SELECT 1 FROM archives "
        "WHERE tenant = NEW.tenant AND last_number = NEW.last_number) "
        f"BEGIN SELECT RAISE(ABORT, '{_KEPT}'); END"
    )
    op.execute(
        "CREATE TRIGGER archives_of_entries BEFORE INSERT ON archives "
        f"WHEN NOT EXISTS ({_IS_THERE}) "
        "BEGIN SELECT RAISE(ABORT, 'an archive ends with an entry'); END"
    )
