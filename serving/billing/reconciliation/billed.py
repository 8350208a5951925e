"""Reads from the ledger what model servers computed."""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Iterator
from typing import Final

import sqlalchemy as sa

from serving.billing.reconciliation.records import Window, Work
from serving.ledger import schema
from serving.ledger.schema import RELEASED, RESERVED

_ROWS_AT_A_TIME: Final = 1000
_EPOCH: Final = datetime.datetime(1970, 1, 1)


def billed_work(connection: sa.Connection, window: Window) -> Iterator[Work]:
    """Return the charges of all tenants, within the window's reach, that a server computed.

    Requests that were served entirely from a cache are not included. Entries of schema version
    1 do not say what was computed and are left out; `unknown_work` counts them. A later one
    that does not say, though not all of its input was cached, has no partner on the other side.

    Args:
      connection: in a read transaction, so that everything is from the same moment.
    """
    margin = max(window.slack_s, window.retry_s)
    columns = schema.entries.c
    rows = connection.execution_options(yield_per=_ROWS_AT_A_TIME).execute(
        sa.select(
            columns.tenant,
            columns.number,
            columns.request_id,
            columns.model,
            columns.model_version,
            columns.work_hash,
            columns.created_at,
            columns.input_tokens,
            columns.cached_tokens,
            columns.output_tokens,
            columns.finish_reasons,
        )
        .where(
            columns.kind == "charge",
            columns.schema_version != 1,
            columns.created_at >= _moment(window.since - margin),
            columns.created_at < _moment(window.until + margin),
            (columns.work_hash != "") | (columns.input_tokens > columns.cached_tokens),
        )
        .order_by(columns.tenant, columns.number)
    )
    for row in rows:
        yield Work(
            model=row.model,
            model_version=row.model_version,
            work_hash=row.work_hash,
            at=(row.created_at - _EPOCH) / datetime.timedelta(seconds=1),
            input_tokens=row.input_tokens,
            cached_tokens=row.cached_tokens,
            output_tokens=row.output_tokens,
            finish_reasons=row.finish_reasons,
            where=f"tenant {row.tenant}, entry {row.number}, request {row.request_id}",
        )


def unknown_work(connection: sa.Connection, window: Window) -> int:
    """Count the charges in the window that are too old to have what a comparison needs."""
    columns = schema.entries.c
    return int(
        connection.execute(
            sa.select(sa.func.count()).where(
                columns.kind == "charge",
                columns.schema_version == 1,
                columns.created_at >= _moment(window.since),
                columns.created_at < _moment(window.until),
            )
        ).scalar_one()
    )


def unsettled(connection: sa.Connection, window: Window) -> Counter[str]:
    """Count the requests begun in the window that were released, or are still reserved.

    A model server may have computed them, but a client that got no response is not charged.
    """
    columns = schema.requests.c
    rows = connection.execute(
        sa.select(columns.state, sa.func.count())
        .where(
            columns.state.in_([RELEASED, RESERVED]),
            columns.created_at >= _moment(window.since),
            columns.created_at < _moment(window.until),
        )
        .group_by(columns.state)
    )
    return Counter({state: int(count) for state, count in rows})


def _moment(seconds: float) -> datetime.datetime:
    return _EPOCH + datetime.timedelta(seconds=seconds)
