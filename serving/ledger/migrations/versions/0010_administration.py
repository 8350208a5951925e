"""Keys have names, scopes, expiry, budgets and a last use; what they use is summed by day; and
every change that an administrator makes is in an append-only log.

What was used before has no key: the ledger did not say which one it was.

Revision ID: 0010
Revises: 0009
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"

_TEXT = sa.String(255)
_DAY = {
    "postgresql": "to_char(entries.created_at, 'YYYY-MM-DD')",
    "sqlite": "substr(entries.created_at, 1, 10)",
}


def upgrade() -> None:
    dialect = op.get_bind().dialect.name
    _widen_keys()
    op.add_column(
        "requests", sa.Column("key_id", sa.String(32), nullable=False, server_default="")
    )
    _make_daily_usage(_DAY[dialect])
    _make_audit_log(dialect)


def _widen_keys() -> None:
    for column in (
        sa.Column("name", _TEXT, nullable=False, server_default=""),
        sa.Column("scopes", sa.Text, nullable=False, server_default="*"),
        sa.Column("budget_micro", sa.BigInteger),
        sa.Column("expires_at", sa.DateTime),
        sa.Column("suspended_at", sa.DateTime),
        sa.Column("last_used_at", sa.DateTime),
        sa.Column("previous_hash", sa.String(64)),
        sa.Column("previous_until", sa.DateTime),
    ):
        op.add_column("api_keys", column)
    op.create_index("keys_by_tenant", "api_keys", ["tenant"])


def _make_daily_usage(day: str) -> None:
    counts = ("requests", "input_tokens", "cached_tokens", "output_tokens", "amount_micro")
    op.create_table(
        "daily_usage",
        sa.Column("tenant", _TEXT, primary_key=True),
        sa.Column("month", sa.String(7), primary_key=True),
        sa.Column("key_id", sa.String(32), primary_key=True),
        sa.Column("day", sa.String(10), primary_key=True),
        sa.Column("model", _TEXT, primary_key=True),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in counts),
    )
    op.execute(
        "INSERT INTO daily_usage (tenant, month, key_id, day, model, "
        f"{', '.join(counts)}) "
        f"SELECT entries.tenant, requests.month, '', {day}, entries.model, "
        "sum(CASE entries.kind WHEN 'charge' THEN 1 ELSE -1 END), sum(entries.input_tokens), "
        "sum(entries.cached_tokens), sum(entries.output_tokens), sum(entries.amount_micro) "
        "FROM entries JOIN requests ON requests.request_id = entries.request_id "
        f"GROUP BY entries.tenant, requests.month, {day}, entries.model"
    )


def _make_audit_log(dialect: str) -> None:
    op.create_table(
        "audit_log",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer, "sqlite"),
            primary_key=True,
            autoincrement=True,
        ),
        sa.Column("at", sa.DateTime, nullable=False),
        sa.Column("actor", _TEXT, nullable=False),
        sa.Column("via", sa.String(16), nullable=False),
        sa.Column("action", _TEXT, nullable=False),
        sa.Column("tenant", _TEXT, nullable=False),
        sa.Column("subject", _TEXT, nullable=False),
        sa.Column("before", sa.Text, nullable=False),
        sa.Column("after", sa.Text, nullable=False),
    )
    op.create_index("audit_log_by_tenant", "audit_log", ["tenant", "id"])
    if dialect == "postgresql":
        op.execute(
            "CREATE FUNCTION audit_log_is_permanent() RETURNS trigger LANGUAGE plpgsql AS $$ "
            "BEGIN RAISE EXCEPTION 'audit_log is never changed or deleted'; END $$"
        )
        op.execute(
            "CREATE TRIGGER audit_log_is_permanent BEFORE UPDATE OR DELETE OR TRUNCATE "
            "ON audit_log FOR EACH STATEMENT EXECUTE FUNCTION audit_log_is_permanent()"
        )
        return
    for change in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER audit_log_no_{change.lower()} BEFORE {change} ON audit_log "
            "BEGIN SELECT RAISE(ABORT, 'audit_log is never changed or deleted'); END"
        )
    # INSERT OR REPLACE deletes what is in its way without a trigger: see 0005.
    op.execute(
        "CREATE TRIGGER audit_log_no_replace BEFORE INSERT ON audit_log WHEN EXISTS ("
        "SELECT 1 FROM audit_log WHERE rowid = NEW.id) "
        "BEGIN SELECT RAISE(ABORT, 'audit_log is never changed or deleted'); END"
    )
