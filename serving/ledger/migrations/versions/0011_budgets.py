"""Prepaid credit, refunds in part, alerts at shares of a budget; who delivers an event.

Entries may be top-ups and refunds, of which a request may have several: SQLite cannot change a
table's rules, so there it is written anew, with its guards.

Revision ID: 0011
Revises: 0010
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"

_TEXT = sa.String(255)
_KINDS = "kind in ('charge', 'reversal', 'refund', 'top_up')"
_REFUSED = "entries are never changed or deleted"


def upgrade() -> None:
    for name in ("credit_since", "credit_micro", "credit_used_micro"):
        op.add_column("chains", sa.Column(name, sa.BigInteger))
    op.add_column(
        "accounts",
        sa.Column("alerted_percent", sa.Integer, nullable=False, server_default="0"),
    )
    op.create_table(
        "alert_shares",
        sa.Column("tenant", _TEXT, sa.ForeignKey("tenants.name"), primary_key=True),
        sa.Column("percents", _TEXT, nullable=False),
    )
    op.add_column("outbox", sa.Column("holder", _TEXT))
    if op.get_bind().dialect.name == "postgresql":
        op.drop_constraint("one_entry_a_kind", "entries")
        op.drop_constraint("kind", "entries")
        op.create_check_constraint("kind", "entries", _KINDS)
    else:
        with op.batch_alter_table("entries", recreate="always") as batch:
            batch.drop_constraint("one_entry_a_kind", type_="unique")
            batch.drop_constraint("kind", type_="check")
            batch.create_check_constraint("kind", _KINDS)
        _guard_sqlite()
    op.execute(
        "CREATE UNIQUE INDEX one_entry_a_kind ON entries (request_id, kind, "
        "(CASE WHEN kind = 'refund' THEN number ELSE 0 END))"
    )


def _guard_sqlite() -> None:
    """As revisions 0001 and 0005 did: the triggers went with the table."""
    for change in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER entries_no_{change.lower()} BEFORE {change} ON entries "
            f"BEGIN SELECT RAISE(ABORT, '{_REFUSED}'); END"
        )
    op.execute(
        "CREATE TRIGGER entries_no_replace BEFORE INSERT ON entries WHEN EXISTS ("
        "SELECT 1 FROM entries WHERE rowid = NEW.rowid "
        "UNION ALL SELECT 1 FROM entries "
        "WHERE tenant = NEW.tenant AND number = NEW.number "
        "UNION ALL SELECT 1 FROM entries "
        "WHERE request_id = NEW.request_id AND kind = NEW.kind AND kind <> 'refund') "
        f"BEGIN SELECT RAISE(ABORT, '{_REFUSED}'); END"
    )
