"""Answers are kept for a while, and can be erased: charges are permanent, texts are not.

Those of requests without an idempotency key are removed: nobody can ask for them. The others
are kept for thirty days from now. Answers whose delivery failed have a table of their own.

Revision ID: 0008
Revises: 0007
"""

from __future__ import annotations

import datetime

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

_TEXT = sa.String(255)
_KEPT = datetime.timedelta(days=30)


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP TRIGGER answers_are_for_ever ON answers")
        op.execute("DROP FUNCTION answers_are_for_ever()")
    else:
        for change in ("update", "delete"):
            op.execute(f"DROP TRIGGER answers_no_{change}")
    op.execute(
        "DELETE FROM answers WHERE request_id IN "
        "(SELECT request_id FROM requests WHERE idempotency_key IS NULL)"
    )
    op.add_column(
        "answers",
        sa.Column(
            "kept_until",
            sa.DateTime,
            nullable=False,
            server_default="1970-01-01 00:00:00.000000",
        ),
    )
    answers = sa.table("answers", sa.column("kept_until", sa.DateTime))
    now = datetime.datetime.now(datetime.UTC).replace(tzinfo=None)
    op.execute(answers.update().values(kept_until=now + _KEPT))
    op.create_index("answers_by_time", "answers", ["kept_until"])
    op.add_column("requests", sa.Column("route", _TEXT))
    op.create_table(
        "undelivered",
        sa.Column("request_id", _TEXT, primary_key=True),
        sa.Column("tenant", _TEXT, nullable=False),
        sa.Column("request_hash", sa.String(64), nullable=False),
        sa.Column("route", _TEXT, nullable=False),
        sa.Column("answer", sa.LargeBinary),
        sa.Column("kept_until", sa.DateTime, nullable=False),
        sa.Column("holder", _TEXT),
    )
    op.create_index("undelivered_by_request", "undelivered", ["tenant", "request_hash"])
