"""Which of a database's errors are worth another attempt: real ones, of both databases."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa

from serving.engines import RunningServer
from serving.gateway.ledger_outages import is_outage, through_outages
from serving.ledger import Charge, Ledger, Reservation, Usage
from serving.ledger.database import open_database
from tests.support.running_gateway import gateway_on

Break = Callable[[sa.Engine], contextlib.AbstractContextManager[sa.Engine]]


@contextlib.contextmanager
def missing_table(engine: sa.Engine) -> Iterator[sa.Engine]:
    with engine.begin() as connection:
        connection.execute(sa.text("ALTER TABLE requests RENAME TO lost"))
    yield engine


@contextlib.contextmanager
def full_disk(engine: sa.Engine) -> Iterator[sa.Engine]:
    with on_each_connection(engine, "PRAGMA max_page_count = 1"):
        yield engine


@contextlib.contextmanager
def sqlite_readonly(engine: sa.Engine) -> Iterator[sa.Engine]:
    with on_each_connection(engine, "PRAGMA query_only = ON"):
        yield engine


@contextlib.contextmanager
def postgresql_readonly(engine: sa.Engine) -> Iterator[sa.Engine]:
    with on_each_connection(engine, "SET default_transaction_read_only = on"):
        yield engine


@contextlib.contextmanager
def sqlite_locked(engine: sa.Engine) -> Iterator[sa.Engine]:
    with (
        on_each_connection(engine, "PRAGMA busy_timeout = 1"),
        open_database(engine.url.render_as_string(hide_password=False)).begin(),
    ):
        yield engine


@contextlib.contextmanager
def postgresql_locked(engine: sa.Engine) -> Iterator[sa.Engine]:
    blocker = sa.create_engine(engine.url)
    with on_each_connection(engine, "SET lock_timeout = 50"), blocker.begin() as connection:
        connection.execute(sa.text("LOCK TABLE requests"))
        yield engine
    blocker.dispose()


@contextlib.contextmanager
def cut(engine: sa.Engine) -> Iterator[sa.Engine]:
    """While a transaction is under way."""
    other = sa.create_engine(engine.url)

    @sa.event.listens_for(engine, "begin")
    def terminate(connection: sa.Connection) -> None:
        pid = connection.connection.driver_connection.info.backend_pid
        with other.connect() as killer:
            killer.execute(sa.select(sa.func.pg_terminate_backend(pid, 5000)))

    yield engine
    sa.event.remove(engine, "begin", terminate)
    other.dispose()


@contextlib.contextmanager
def no_server(engine: sa.Engine) -> Iterator[sa.Engine]:
    yield open_database("postgresql+psycopg://nobody@127.0.0.1:9/none")


@contextlib.contextmanager
def no_connection_left(engine: sa.Engine) -> Iterator[sa.Engine]:
    url = engine.url.render_as_string(hide_password=False)
    small = sa.create_engine(url, pool_size=1, max_overflow=0, pool_timeout=0.1)
    with small.connect():
        yield small
    small.dispose()


@contextlib.contextmanager
def on_each_connection(engine: sa.Engine, statement: str) -> Iterator[None]:
    def say(raw: sa.engine.interfaces.DBAPIConnection, _: object) -> None:
        raw.cursor().execute(statement)
        raw.commit()

    sa.event.listen(engine, "connect", say)
    engine.dispose()
    yield
    sa.event.remove(engine, "connect", say)
    engine.dispose()


class AskedAgainError(Exception):
    """Another attempt was made."""


@pytest.mark.parametrize(
    ("ledger_url", "broken", "outage"),
    [
        ("sqlite", missing_table, False),
        ("sqlite", full_disk, True),
        ("sqlite", sqlite_readonly, True),
        ("sqlite", sqlite_locked, True),
        ("postgresql", missing_table, False),
        ("postgresql", postgresql_readonly, True),
        ("postgresql", postgresql_locked, True),
        ("postgresql", cut, True),
        ("postgresql", no_server, True),
        ("postgresql", no_connection_left, True),
    ],
    indirect=["ledger_url"],
)
def test_an_outage_is_asked_again_and_nothing_else(
    engine: sa.Engine, broken: Break, outage: bool
) -> None:
    Ledger(engine, "gateway-0").reserve(Reservation("r", "acme", 1000, "a" * 64, None, "k"))
    answer = b"more than a page, for which a disk that is full has no room" * 1000
    attempts: list[Exception] = []

    async def settle() -> None:
        if attempts:
            raise AskedAgainError
        try:
            ledger = Ledger(broken_engine, "gateway-0")
            await asyncio.to_thread(ledger.settle, "r", usage(), charge(), answer)
        except Exception as error:
            attempts.append(error)
            raise

    raised = AskedAgainError if outage else sa.exc.SQLAlchemyError
    with broken(engine) as broken_engine, pytest.raises(raised):
        asyncio.run(through_outages(settle, for_s=60))
    (error,) = attempts
    assert is_outage(error) == outage, repr(error)


def usage() -> Usage:
    return Usage("summarizer", "7", "f" * 64, 1, 3, 0, 3, "stop", 1)


def charge() -> Charge:
    return Charge(700, "EUR", "2026")


def test_what_is_none_of_a_database() -> None:
    assert not is_outage(ValueError("no"))
    assert not is_outage(sa.exc.ArgumentError("no"))


def test_the_client_is_told_at_once(
    engine: sa.Engine, tmp_path: Path, metered_models: Path, model_server: RunningServer
) -> None:
    with gateway_on(engine, tmp_path, metered_models, [model_server.rest_url]) as running:
        with running.client(running.key()) as client:
            assert summarize(client).status_code == 200
            lost_answers = sa.text("ALTER TABLE answers RENAME TO lost")
            with engine.begin() as connection:
                connection.execute(lost_answers)
            answer = summarize(client, {"Idempotency-Key": "k"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (500, "internal")
        running.wait_for_states({"settled": 1, "released": 1})
        assert running.reserved_micro() == 0


def summarize(client: httpx.Client, headers: dict[str, str] | None = None) -> httpx.Response:
    body = {"model": "summarizer", "text": "one two"}
    return client.post("/v1/summaries", json=body, headers=headers)
