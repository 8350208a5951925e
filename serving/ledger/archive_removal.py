"""Deletes from the database what is in an archive."""

from __future__ import annotations

import datetime
from typing import Final

import sqlalchemy as sa

from serving.ledger import schema
from serving.ledger.database import reading, writing

_AT_A_TIME: Final = 1000
_OF_KEY: Final = ("tenant", "idempotency_key", "request_id", "request_hash", "month")


def remove_month(engine: sa.Engine, month: str, end: datetime.datetime) -> int:
    """Delete a month's archived entries, and their requests: step 3 of
    `serving.ledger.archive`.

    Args:
      end: of the month, UTC.

    Returns:
      How many entries were removed.
    """
    removed = 0
    for tenant, first, last in _sections_of(engine, month):
        while count := _remove_some(engine, tenant, first, last):
            removed += count
    requests, files = schema.requests, schema.archive_files
    released = (
        sa.select(requests.c.request_id)
        .where(requests.c.state == schema.RELEASED, requests.c.created_at < end)
        .limit(_AT_A_TIME)
    )
    gone = 1
    while gone:
        with writing(engine) as connection:
            gone = connection.execute(
                requests.delete().where(requests.c.request_id.in_(released.scalar_subquery()))
            ).rowcount
    with writing(engine) as connection:
        connection.execute(files.update().where(files.c.month == month).values(removed=True))
    return removed


def _sections_of(engine: sa.Engine, month: str) -> list[tuple[str, int, int]]:
    archives = schema.archives.c
    with reading(engine) as connection:
        rows = connection.execute(
            sa.select(archives.tenant, archives.first_number, archives.last_number)
            .where(archives.month == month)
            .order_by(archives.tenant)
        )
        return [(row.tenant, row.first_number, row.last_number) for row in rows]


def _remove_some(engine: sa.Engine, tenant: str, first: int, last: int) -> int:
    """Some entries of a section, and the requests of which no entry is left."""
    entries, requests, keys = schema.entries, schema.requests, schema.archived_keys
    of_section = (entries.c.tenant == tenant, entries.c.number.between(first, last))
    with writing(engine) as connection:
        rows = connection.execute(
            sa.select(entries.c.number, entries.c.request_id)
            .where(*of_section)
            .order_by(entries.c.number)
            .limit(_AT_A_TIME)
        ).all()
        if not rows:
            return 0
        ids = sorted({row.request_id for row in rows})
        # Nobody adds an entry to them, such as a refund, between what follows.
        connection.execute(
            sa.select(requests.c.request_id)
            .where(requests.c.request_id.in_(ids))
            .order_by(requests.c.request_id)
            .with_for_update()
        )
        connection.execute(
            entries.delete().where(
                entries.c.tenant == tenant,
                entries.c.number.between(rows[0].number, rows[-1].number),
            )
        )
        over = (
            requests.c.request_id.in_(ids),
            ~sa.exists().where(entries.c.request_id == requests.c.request_id),
        )
        connection.execute(
            keys.insert().from_select(
                _OF_KEY,
                sa.select(*(requests.c[name] for name in _OF_KEY)).where(
                    *over, requests.c.idempotency_key.is_not(None)
                ),
            )
        )
        answers = schema.answers
        connection.execute(answers.delete().where(answers.c.request_id.in_(ids)))
        connection.execute(requests.delete().where(*over))
    return len(rows)
