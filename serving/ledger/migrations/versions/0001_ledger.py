"""The ledger: accounts, chains, requests, answers, entries, outbox.

Revision ID: 0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_TEXT = sa.String(255)
_HASH = sa.String(64)


def upgrade() -> None:
    op.create_table(
        "accounts",
        sa.Column("tenant", _TEXT, primary_key=True),
        sa.Column("month", sa.String(7), primary_key=True),
        sa.Column("spent_micro", sa.BigInteger, nullable=False),
        sa.Column("reserved_micro", sa.BigInteger, nullable=False),
        sa.CheckConstraint("reserved_micro >= 0", name="reserved_not_negative"),
    )
    op.create_table(
        "chains",
        sa.Column("tenant", _TEXT, primary_key=True),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("hash", _HASH, nullable=False),
    )
    op.create_table(
        "requests",
        sa.Column("request_id", _TEXT, primary_key=True),
        sa.Column("tenant", _TEXT, nullable=False),
        sa.Column("idempotency_key", _TEXT),
        sa.Column("request_hash", _HASH, nullable=False),
        sa.Column("state", sa.String(8), nullable=False),
        sa.Column("month", sa.String(7), nullable=False),
        sa.Column("reserved_micro", sa.BigInteger, nullable=False),
        sa.Column("owner", _TEXT, nullable=False),
        sa.Column("created_at", sa.DateTime, nullable=False),
        sa.CheckConstraint("state in ('reserved', 'settled', 'released')", name="state"),
        sa.UniqueConstraint("tenant", "idempotency_key", name="one_request_a_key"),
    )
    op.create_index("requests_by_state", "requests", ["state", "created_at"])
    op.create_table(
        "answers",
        sa.Column("request_id", _TEXT, sa.ForeignKey("requests.request_id"), primary_key=True),
        sa.Column("answer", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "entries",
        sa.Column("tenant", _TEXT, primary_key=True),
        sa.Column("number", sa.BigInteger, primary_key=True),
        sa.Column("kind", sa.String(8), nullable=False),
        sa.Column("request_id", _TEXT, nullable=False),
        sa.Column("request_hash", _HASH, nullable=False),
        sa.Column("model", _TEXT, nullable=False),
        sa.Column("model_version", _TEXT, nullable=False),
        sa.Column("tokenizer_fingerprint", _TEXT, nullable=False),
        sa.Column("contract_version", sa.Integer, nullable=False),
        sa.Column("input_tokens", sa.BigInteger, nullable=False),
        sa.Column("cached_tokens", sa.BigInteger, nullable=False),
        sa.Column("output_tokens", sa.BigInteger, nullable=False),
        sa.Column("finish_reasons", _TEXT, nullable=False),
        sa.Column("latency_ms", sa.BigInteger, nullable=False),
        sa.Column("amount_micro", sa.BigInteger, nullable=False),
        sa.Column("currency", sa.String(3), nullable=False),
        sa.Column("price_id", _TEXT, nullable=False),
        sa.Column("reason", _TEXT, nullable=False),
        sa.Column("created_at", sa.DateTime, nullable=False),
        sa.Column("previous_hash", _HASH, nullable=False),
        sa.Column("hash", _HASH, nullable=False),
        sa.UniqueConstraint("request_id", "kind", name="one_entry_a_kind"),
        sa.CheckConstraint("kind in ('charge', 'reversal')", name="kind"),
    )
    op.create_index("entries_by_time", "entries", ["tenant", "created_at"])
    op.create_table(
        "outbox",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer, "sqlite"),
            primary_key=True,
            autoincrement=True,
        ),
        sa.Column("event", sa.Text, nullable=False),
    )
    _forbid_changes("entries")
    _forbid_changes("answers")


def _forbid_changes(table: str) -> None:
    """Whoever writes by hand must take the trigger away first, and the chain still tells."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            f"CREATE FUNCTION {table}_are_for_ever() RETURNS trigger LANGUAGE plpgsql AS $$ "
            f"BEGIN RAISE EXCEPTION '{table} are never changed or deleted'; END $$"
        )
        op.execute(
            f"CREATE TRIGGER {table}_are_for_ever BEFORE UPDATE OR DELETE OR TRUNCATE "
            f"ON {table} FOR EACH STATEMENT EXECUTE FUNCTION {table}_are_for_ever()"
        )
        return
    for change in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER {table}_no_{change.lower()} BEFORE {change} ON {table} "
            f"BEGIN SELECT RAISE(ABORT, '{table} are never changed or deleted'); END"
        )
