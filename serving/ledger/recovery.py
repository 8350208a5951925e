"""Gives back what a process that died had reserved."""

from __future__ import annotations

import datetime

import sqlalchemy as sa

from serving.ledger import schema
from serving.ledger.database import reading
from serving.ledger.ledger import Ledger
from serving.ledger.schema import RESERVED


def recover(
    engine: sa.Engine, ledger: Ledger, owner: str, older_than: datetime.datetime
) -> list[str]:
    """Release reservations that nobody will settle any more; call it before serving.

    A request that was not settled was not answered: its answer leaves the gateway after the
    ledger has it. So its tenant owes nothing.

    Args:
      owner: all that was reserved by a process of this name is released: there is one at a
        time, and it has not begun.
      older_than: as is all that was reserved before, by whomever: longer than any request
        takes. UTC.

    Returns:
      The requests released. One that another process recovers at the same time is in the
      list of one of them only.
    """
    with reading(engine) as connection:
        left = connection.scalars(
            sa.select(schema.requests.c.request_id)
            .where(
                schema.requests.c.state == RESERVED,
                (schema.requests.c.owner == owner)
                | (schema.requests.c.created_at < older_than),
            )
            .order_by(schema.requests.c.created_at)
        ).all()
    return [request_id for request_id in left if ledger.release(request_id)]
