"""Days and months of all tenants, and the last check or anchor, are found by indexes: no page
and no scrape reads a whole table.

Revision ID: 0014
Revises: 0013
"""

from __future__ import annotations

from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    op.create_index("daily_usage_by_day", "daily_usage", ["day"])
    op.create_index("accounts_by_month", "accounts", ["month"])
    op.create_index("audit_log_by_action", "audit_log", ["action", "tenant", "id"])
