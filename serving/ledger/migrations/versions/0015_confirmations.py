"""A confirmed form's change is made once: its row of the audit log names the confirmation.

Revision ID: 0015
Revises: 0014
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    op.add_column("audit_log", sa.Column("confirmation", sa.String(64)))
    op.create_index("one_change_a_confirmation", "audit_log", ["confirmation"], unique=True)
    if op.get_bind().dialect.name == "sqlite":
        # A row could be replaced by one with its confirmation, too: see 0005.
        op.execute("DROP TRIGGER IF EXISTS audit_log_no_replace")
        op.execute(
            "CREATE TRIGGER audit_log_no_replace BEFORE INSERT ON audit_log WHEN EXISTS ("
            "SELECT 1 FROM audit_log WHERE rowid = NEW.id UNION ALL "
            "SELECT 1 FROM audit_log WHERE confirmation = NEW.confirmation) "
            "BEGIN SELECT RAISE(ABORT, 'audit_log is never changed or deleted'); END"
        )
