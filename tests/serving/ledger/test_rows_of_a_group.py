"""The rows of a group, one parameter for PostgreSQL, are what each would be alone."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
import sqlalchemy as sa

from serving.ledger.schema import requests, undelivered
from serving.ledger.sql import Statement, Statements
from serving.ledger.transactions import transaction

ODD_TEXTS = ["", " ", "'\"\\", "a\nb\tc\x01\x7f", "\u00e9\u2028\U0001f600", "{x} %s %(x)s :x"]
MOMENT = datetime.datetime(2026, 11, 28, 1, 2, 3)


def written(
    engine: sa.Engine, name: str, rows: list[dict[str, Any]], table: sa.Table
) -> list[sa.RowMapping]:
    """The table after the rows were written together."""
    with engine.connect() as connection, transaction(connection) as driver:
        statement: Statement = getattr(Statements(engine.dialect), name)
        driver.write(statement, rows)
    with engine.begin() as connection:
        found = connection.execute(sa.select(table).order_by("request_id")).mappings().all()
        connection.execute(table.delete())
    return list(found)


def answers() -> list[dict[str, Any]]:
    return [
        {
            "request_id": f"{number}{text}",
            "tenant": text,
            "request_hash": "0" * 64,
            "route": text,
            "answer": None if number == 0 else bytes(range(256)) * number,
            "kept_until": MOMENT + datetime.timedelta(microseconds=number),
            "holder": text if number % 2 else None,
        }
        for number, text in enumerate(ODD_TEXTS)
    ]


def reservations() -> list[dict[str, Any]]:
    return [
        {
            "request_id": f"{number}{text}",
            "tenant": text,
            "idempotency_key": text if number % 2 else None,
            "request_hash": "0" * 64,
            "state": "reserved",
            "month": "2026-11",
            "reserved_micro": 2**63 - 1 - number,
            "route": text,
            "key_id": text[:3],
            "owner": text,
            "created_at": MOMENT,
        }
        for number, text in enumerate(ODD_TEXTS)
    ]


@pytest.mark.parametrize(
    ("name", "table", "rows"),
    [
        ("set_undelivered", undelivered, answers()),
        ("add_request", requests, reservations()),
    ],
)
def test_together_they_are_what_they_are_alone(
    engine: sa.Engine, name: str, table: sa.Table, rows: list[dict[str, Any]]
) -> None:
    alone = [written(engine, name, [row], table)[0] for row in rows]
    assert written(engine, name, rows, table) == alone
    assert [{each: row[each] for each in rows[0]} for row in alone] == rows


# SQLite takes a text of any length.
@pytest.mark.parametrize("ledger_url", ["postgresql"], indirect=True)
def test_one_that_is_too_long_stops_all_of_them(engine: sa.Engine) -> None:
    rows = answers()
    rows[-1]["tenant"] = "x" * 256
    with pytest.raises(sa.exc.DataError):
        written(engine, "set_undelivered", rows, undelivered)
    with engine.connect() as connection:
        assert not connection.execute(sa.select(undelivered)).all()
