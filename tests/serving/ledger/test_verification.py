"""Whoever changes a ledger by hand is found out; the database refuses what it can."""

from __future__ import annotations

import datetime
import hashlib
import sqlite3
from collections.abc import Callable
from dataclasses import replace

import pytest
import sqlalchemy as sa

from serving.ledger import Entry, Ledger, Reservation, schema
from serving.ledger.chain import entry_hash
from serving.ledger.database import writing
from serving.ledger.operations import Reserve, Settle
from serving.ledger.verification import verify
from tests.serving.ledger.ledger_values import charge, usage
from tests.support.tenants import add_tenant

ENTRIES = schema.entries


@pytest.fixture
def five_entries(ledger: Ledger, reservation: Callable[..., Reservation]) -> Ledger:
    for number in range(1, 6):
        request = reservation()
        ledger.reserve(request)
        ledger.settle(request.request_id, usage(output_tokens=number), charge(), b"answer")
    return ledger


def by_hand(engine: sa.Engine, *statements: sa.Executable) -> None:
    """What somebody with all rights over the database may do."""
    with writing(engine) as connection:
        if engine.dialect.name == "postgresql":
            for trigger in ("entries_are_for_ever", "entries_are_archived"):
                connection.execute(sa.text(f"DROP TRIGGER {trigger} ON entries"))
        else:
            for change in ("update", "delete"):
                connection.execute(sa.text(f"DROP TRIGGER entries_no_{change}"))
        for statement in statements:
            connection.execute(statement)


def found(engine: sa.Engine) -> list[str]:
    return [str(finding) for finding in verify(engine)[1]]


def test_the_database_itself_refuses_changes(engine: sa.Engine, five_entries: Ledger) -> None:
    for statement in (ENTRIES.update().values(hash=ENTRIES.c.hash), ENTRIES.delete()):
        with (
            pytest.raises(sa.exc.DBAPIError, match="are never changed or deleted"),
            writing(engine) as connection,
        ):
            connection.execute(statement)
    assert verify(engine) == (5, [])


@pytest.mark.parametrize("ledger_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("recursive_triggers", ["OFF", "ON"])
def test_no_entry_can_be_replaced(
    engine: sa.Engine, five_entries: Ledger, recursive_triggers: str
) -> None:
    """By its number, by its request, or by the row that it is in: on any connection."""
    with engine.connect() as connection:
        entry = connection.execute(sa.select(ENTRIES).where(ENTRIES.c.number == 3)).one()
    row = dict(entry._mapping) | {"amount_micro": 1}
    other_request = {"number": 9, "request_id": "request-9"}
    raw = sqlite3.connect(str(engine.url.database))
    raw.execute(f"PRAGMA recursive_triggers = {recursive_triggers}")
    for changes in (
        {"request_id": "request-9"},
        {"number": 9},
        other_request | {"rowid": 3},
    ):
        values = row | changes | {"created_at": str(entry.created_at)}
        columns, places = ", ".join(values), ", ".join("?" * len(values))
        for verb in ("INSERT OR REPLACE", "REPLACE", "INSERT OR IGNORE"):
            statement = f"{verb} INTO entries ({columns}) VALUES ({places})"
            with pytest.raises(sqlite3.IntegrityError, match="never changed or deleted"):
                raw.execute(statement, list(values.values()))
    raw.close()
    assert verify(engine) == (5, [])


@pytest.mark.parametrize("ledger_url", ["postgresql"], indirect=True)
def test_no_entry_can_be_written_over(engine: sa.Engine, five_entries: Ledger) -> None:
    with (
        pytest.raises(sa.exc.DBAPIError, match="are never changed or deleted"),
        writing(engine) as connection,
    ):
        connection.execute(
            sa.text(
                "INSERT INTO entries SELECT * FROM entries WHERE number = 3 "
                "ON CONFLICT (tenant, number) DO UPDATE SET amount_micro = 1"
            )
        )
    assert verify(engine) == (5, [])


def test_a_changed_amount(engine: sa.Engine, five_entries: Ledger) -> None:
    by_hand(engine, ENTRIES.update().where(ENTRIES.c.number == 3).values(amount_micro=1))
    assert found(engine) == [
        "acme, entry 3: was changed: its hash does not match",
        "acme: 3500 millionths are spent in 2026-11 according to its account. Expected: "
        "2801, according to its entries and reservations",
    ]


def test_every_column_is_in_the_hash(engine: sa.Engine, five_entries: Ledger) -> None:
    """Whichever is changed; it is put back before the next one is."""
    columns = [c.name for c in ENTRIES.c if c.name not in ("tenant", "hash", "code")]
    second = ENTRIES.c.number == 2
    with engine.connect() as connection:
        entry = connection.execute(sa.select(ENTRIES).where(second)).one()._mapping
    by_hand(engine)
    for column in columns:
        number = {"number": 9}.get(column, 2)
        with writing(engine) as connection:
            connection.execute(ENTRIES.update().where(second).values({column: other(column)}))
        assert any("was changed: its hash does not match" in what for what in found(engine)), (
            column
        )
        with writing(engine) as connection:
            there = ENTRIES.update().where(ENTRIES.c.number == number)
            connection.execute(there.values({column: entry[column]}))
    assert found(engine) == []


def other(column: str) -> object:
    """A value that the second entry does not have in a column."""
    if column == "created_at":
        return datetime.datetime(2026, 1, 1)
    different: dict[str, object] = {"kind": "reversal", "schema_version": 1}
    return different.get(column, 9 if isinstance(ENTRIES.c[column].type, sa.Integer) else "x")


def test_missing_entries(engine: sa.Engine, five_entries: Ledger) -> None:
    by_hand(engine, ENTRIES.delete().where(ENTRIES.c.number.in_([2, 3])))
    assert found(engine)[0] == "acme, entry 4: before it, 2 to 3 is missing"
    with writing(engine) as connection:
        connection.execute(ENTRIES.delete().where(ENTRIES.c.number == 5))
    assert any("its chain ends with entry 5" in what for what in found(engine))


def test_an_entry_that_was_made_to_fit(engine: sa.Engine, five_entries: Ledger) -> None:
    """Changed, with a hash that is right for what it says now."""
    with engine.connect() as connection:
        row = connection.execute(sa.select(ENTRIES).where(ENTRIES.c.number == 2)).one()
    forged = replace(Entry(**row._mapping), output_tokens=1)
    by_hand(
        engine,
        ENTRIES.update()
        .where(ENTRIES.c.number == 2)
        .values(output_tokens=1, hash=entry_hash(forged)),
    )
    assert found(engine) == [
        "acme, entry 3: does not hold the hash of the entry before it",
        "acme, entry 3: has 3 output_tokens before it. Expected: 2, according to the entry "
        "before it",
        "acme: 15 output_tokens of summarizer are counted in 2026-11. Expected: 14, "
        "according to its entries",
    ]


def test_an_entry_nobody_asked_for(engine: sa.Engine, five_entries: Ledger) -> None:
    with writing(engine) as connection:
        connection.execute(
            schema.requests.update()
            .where(schema.requests.c.request_id == "request-4")
            .values(state="released")
        )
    assert "acme, entry 4: has no request that was settled" in found(engine)


def test_a_request_without_its_charge(engine: sa.Engine, five_entries: Ledger) -> None:
    with writing(engine) as connection:
        request = schema.requests.c.request_id == "request-4"
        row = connection.execute(sa.select(schema.requests).where(request)).one()
        connection.execute(
            schema.requests.insert().values(dict(row._mapping) | {"request_id": "added"})
        )
    assert found(engine) == ["acme: the request added is settled and has no charge"]


def test_a_tenant_of_whom_only_requests_are_left(
    engine: sa.Engine, five_entries: Ledger
) -> None:
    by_hand(
        engine,
        ENTRIES.delete(),
        schema.chains.delete(),
        schema.accounts.delete(),
        schema.month_tokens.delete(),
    )
    assert found(engine) == [
        *(f"acme: the request request-{n} is settled and has no charge" for n in range(1, 6)),
        "acme: its chain is missing. Expected: a row of chains for every tenant",
    ]
    assert verify(engine, "acme")[0] == 0


def test_an_entry_of_another_tenants_request(engine: sa.Engine, five_entries: Ledger) -> None:
    with writing(engine) as connection:
        connection.execute(
            schema.requests.update()
            .where(schema.requests.c.request_id == "request-5")
            .values(tenant="other")
        )
    assert "acme, entry 5: has no request that was settled" in found(engine)
    assert "other: the request request-5 is settled and has no charge" in found(engine)


def test_every_tenant_has_its_chain(engine: sa.Engine) -> None:
    add_tenant(engine)
    assert verify(engine) == (0, [])
    with writing(engine) as connection:
        connection.execute(schema.chains.delete())
    assert found(engine) == [
        "acme: its chain is missing. Expected: a row of chains for every tenant"
    ]


def test_many_tenants_are_checked_some_at_a_time(
    engine: sa.Engine,
    ledger: Ledger,
    reservation: Callable[..., Reservation],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One is wrong in each part, and each is found at its own."""
    monkeypatch.setattr("serving.ledger.verification._TENANTS_AT_A_TIME", 3)
    with engine.connect() as connection:
        asked = [reservation(tenant=f"tenant {number}") for number in range(8)]
        ledger.write(connection, [Reserve(each) for each in asked])
        settled = [Settle(each.request_id, usage(), charge(), b"") for each in asked]
        ledger.write(connection, settled)
    assert verify(engine) == (8, [])
    wrong = ["tenant 1", "tenant 5", "tenant 7"]
    by_hand(engine, ENTRIES.update().where(ENTRIES.c.tenant.in_(wrong)).values(latency_ms=1))
    assert found(engine) == [
        f"{name}, entry 1: was changed: its hash does not match" for name in wrong
    ]


def test_an_account_that_says_something_else(engine: sa.Engine, five_entries: Ledger) -> None:
    with writing(engine) as connection:
        connection.execute(schema.accounts.update().values(spent_micro=0, reserved_micro=5))
    assert found(engine) == [
        "acme: 0 millionths are spent in 2026-11 according to its account. Expected: 3500, "
        "according to its entries and reservations",
        "acme: 5 millionths are reserved in 2026-11 according to its account. Expected: 0, "
        "according to its entries and reservations",
    ]


def test_tenants_have_chains_of_their_own(
    engine: sa.Engine, five_entries: Ledger, reservation: Callable[..., Reservation]
) -> None:
    other = reservation(tenant="other")
    five_entries.reserve(other)
    entry = five_entries.settle(other.request_id, usage(), charge(), b"")
    assert (entry.number, entry.previous_hash) == (1, "0" * 64)
    assert verify(engine) == (6, [])
    assert verify(engine, "other") == (1, [])


def test_the_hash_of_a_known_entry(engine: sa.Engine, five_entries: Ledger) -> None:
    """As somebody without this code would make it: another spelling, and old chains break."""
    text = (
        '["acme",1,"charge","request-1","'
        + f"{1:064x}"
        + '","summarizer","1764037200","'
        + "f" * 64
        + '",1,120,0,1,"stop",41,700,"EUR","2026-11/summarizer","",1795608000000000,"'
        + "0" * 64
        + '",3,"2026-11",0,0,0,"[]","",""]'
    )
    with engine.connect() as connection:
        first = connection.execute(sa.select(ENTRIES.c.hash).where(ENTRIES.c.number == 1))
        assert first.scalar_one() == hashlib.sha256(text.encode()).hexdigest()


def test_the_schema_is_what_the_migrations_make(engine: sa.Engine) -> None:
    inspector = sa.inspect(engine)
    made = {
        table: {column["name"]: column["nullable"] for column in inspector.get_columns(table)}
        for table in inspector.get_table_names()
        if table != "alembic_version"
    }
    assert made == {
        table.name: {column.name: column.nullable for column in table.columns}
        for table in schema.metadata.tables.values()
    }
