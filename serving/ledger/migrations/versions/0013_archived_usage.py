"""What archived entries add up to by day, so that the sums by day can be held to it.

Of archives that are there already, it is what the sums say now, less the entries that are not
archived: from here on they cannot change unseen.

Revision ID: 0013
Revises: 0012
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"

_TEXT = sa.String(255)
_KEPT = "archived sums are never changed or deleted"
_COUNTS = ("requests", "input_tokens", "cached_tokens", "output_tokens", "amount_micro")
_KEYS = "tenant, month, key_id, day, model"


def upgrade() -> None:
    op.create_table(
        "archived_usage",
        sa.Column("archive", sa.String(7), primary_key=True),
        sa.Column("tenant", _TEXT, primary_key=True),
        sa.Column("month", sa.String(7), primary_key=True),
        sa.Column("key_id", sa.String(32), primary_key=True),
        sa.Column("day", sa.String(10), primary_key=True),
        sa.Column("model", _TEXT, primary_key=True),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in _COUNTS),
    )
    op.create_index("archived_usage_by_tenant", "archived_usage", ["tenant"])
    on_postgresql = op.get_bind().dialect.name == "postgresql"
    _fill(
        "to_char(e.created_at, 'YYYY-MM-DD')"
        if on_postgresql
        else "substr(e.created_at, 1, 10)"
    )
    if on_postgresql:
        _guard_postgresql()
    else:
        _guard_sqlite()


def _fill(day: str) -> None:
    sums = ", ".join(f"sum({name})" for name in _COUNTS)
    negatives = ", ".join(f"-e.{name}" for name in _COUNTS[1:])
    different = " OR ".join(f"sum({name}) <> 0" for name in _COUNTS)
    op.execute(
        f"INSERT INTO archived_usage (archive, {_KEYS}, {', '.join(_COUNTS)}) "
        f"SELECT (SELECT max(month) FROM archive_files), {_KEYS}, {sums} FROM ("
        f"SELECT {_KEYS}, {', '.join(_COUNTS)} FROM daily_usage UNION ALL "
        f"SELECT e.tenant, r.month, r.key_id, {day}, e.model, "
        "CASE e.kind WHEN 'charge' THEN -1 WHEN 'reversal' THEN 1 ELSE 0 END, "
        f"{negatives} FROM entries e JOIN requests r ON r.request_id = e.request_id "
        "WHERE NOT EXISTS (SELECT 1 FROM archives a WHERE a.tenant = e.tenant "
        "AND e.number <= a.last_number)) AS archived "
        "WHERE EXISTS (SELECT 1 FROM archives a WHERE a.tenant = archived.tenant) "
        f"GROUP BY {_KEYS} HAVING {different}"
    )


def _guard_postgresql() -> None:
    op.execute(
        "CREATE FUNCTION archived_usage_is_for_ever() RETURNS trigger LANGUAGE plpgsql AS $$ "
        f"BEGIN RAISE EXCEPTION '{_KEPT}'; END $$"
    )
    op.execute(
        "CREATE TRIGGER archived_usage_is_for_ever BEFORE UPDATE OR DELETE OR TRUNCATE "
        "ON archived_usage FOR EACH STATEMENT EXECUTE FUNCTION archived_usage_is_for_ever()"
    )


def _guard_sqlite() -> None:
    for change in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER archived_usage_no_{change.lower()} BEFORE {change} "
            f"ON archived_usage BEGIN SELECT RAISE(ABORT, '{_KEPT}'); END"
        )
    # INSERT OR REPLACE deletes without a trigger: this one runs before.
    op.execute(
        "CREATE TRIGGER archived_usage_no_replace BEFORE INSERT ON archived_usage "
        "WHEN EXISTS (SELECT 1 FROM archived_usage WHERE rowid = NEW.rowid UNION ALL "
        "SELECT 1 FROM archived_usage WHERE archive = NEW.archive AND tenant = NEW.tenant "
        "AND month = NEW.month AND key_id = NEW.key_id AND day = NEW.day "
        f"AND model = NEW.model) BEGIN SELECT RAISE(ABORT, '{_KEPT}'); END"
    )
