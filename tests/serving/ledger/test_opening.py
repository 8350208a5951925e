"""A ledger that is not there is not made by accident, and one that is made is private."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
import sqlalchemy as sa

from serving.ledger import Ledger, Reservation
from serving.ledger.database import writing
from serving.ledger.opening import NoLedgerError, open_ledger, without_password


def test_a_file_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(NoLedgerError, match=r"no ledger at sqlite:///.*: the file does not"):
        open_ledger(f"sqlite:///{tmp_path}/no/ledger.sqlite")
    for url in ("sqlite://", "sqlite:///:memory:"):
        with pytest.raises(NoLedgerError, match="There is no ledger at"):
            open_ledger(url)
    assert list(tmp_path.iterdir()) == []


def test_an_empty_database_is_no_ledger_until_one_is_made(
    database_url: str, tmp_path: Path
) -> None:
    if database_url.startswith("sqlite"):
        (tmp_path / "ledger.sqlite").touch()
    with pytest.raises(NoLedgerError, match="the database has no tables"):
        open_ledger(database_url)
    open_ledger(database_url, create=True).dispose()
    open_ledger(database_url).dispose()


def test_another_programs_tables_are_left_alone(database_url: str) -> None:
    engine = sa.create_engine(database_url)
    with writing(engine) as connection:
        connection.execute(sa.text("CREATE TABLE alembic_version (version_num TEXT)"))
        connection.execute(sa.text("INSERT INTO alembic_version VALUES ('5b02579f91d7')"))
    for create in (False, True):
        with pytest.raises(NoLedgerError, match="the database has other tables"):
            open_ledger(database_url, create=create)
    assert sa.inspect(engine).get_table_names() == ["alembic_version"]
    engine.dispose()


def test_a_file_is_its_owners_alone(tmp_path: Path) -> None:
    engine = open_ledger(f"sqlite:///{tmp_path}/ledger.sqlite", create=True)
    Ledger(engine, "gateway-0").reserve(Reservation("r", "acme", 1, "0" * 64))
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == dict.fromkeys(
        ["ledger.sqlite", "ledger.sqlite-shm", "ledger.sqlite-wal"], 0o600
    )
    engine.dispose()


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql+psycopg://pat:secret@host/name", "postgresql+psycopg://pat:***@host/name"),
        (
            "postgresql+psycopg://host/name?user=pat&password=secret",
            "postgresql+psycopg://host/name?user=pat",
        ),
        ("postgresql+psycopg://host/name?sslpassword=secret", "postgresql+psycopg://host/name"),
        ("sqlite:///ledger.sqlite", "sqlite:///ledger.sqlite"),
    ],
)
def test_no_password_is_shown(url: str, shown: str) -> None:
    assert without_password(sa.make_url(url)) == shown


def test_no_value_of_a_statement_is_in_an_error(engine: sa.Engine) -> None:
    statement = sa.text("INSERT INTO nothing VALUES (:value)")
    with pytest.raises(sa.exc.DBAPIError) as raised, writing(engine) as connection:
        connection.execute(statement, {"value": "a client's text"})
    assert "a client's text" not in str(raised.value)
