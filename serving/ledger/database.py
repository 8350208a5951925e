"""Opens the ledger's database: SQLite by default, PostgreSQL by URL."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import event, exc
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

_BUSY_TIMEOUT_S: Final = 30
_IDLE_S: Final = 15
_ATTEMPTS: Final = 8
_READS_ONLY: Final = "reads_only"


def open_database(url: str, pool_size: int = 5) -> sa.Engine:
    """An engine whose transactions are serial where it matters.

    SQLite: write-ahead log, each commit on the disk before it returns (but for reservations:
    `serving.ledger.transactions.transaction`), and every transaction takes the write lock at
    its start, so that none fails half-way because it read first.
    PostgreSQL: read committed, with the rows that decide locked by ``SELECT … FOR UPDATE``.

    An SQLite file that is not there is made, for nobody but its owner to read. No error shows
    the values that a statement was given: they may be a client's.

    Args:
      url: such as ``sqlite:///ledger.sqlite`` or ``postgresql+psycopg://user@host/name``.
      pool_size: connections; on SQLite, those that are kept open.
    """
    if not url.startswith("sqlite"):
        engine = sa.create_engine(
            url, pool_size=pool_size, max_overflow=0, pool_pre_ping=True, hide_parameters=True
        )
        event.listen(engine, "connect", _configure_postgresql)
        return engine
    engine = sa.create_engine(
        url,
        pool_size=pool_size,
        connect_args={"timeout": _BUSY_TIMEOUT_S},
        hide_parameters=True,
    )
    _make_private(engine.url)
    event.listen(engine, "connect", _configure_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _make_private(url: sa.URL) -> None:
    """Make an SQLite file that its owner alone may read; its logs take after it."""
    if url.database and url.database != ":memory:" and "uri" not in url.query:
        with suppress(OSError):  # SQLite itself says what is wrong with the path
            os.close(os.open(url.database, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))


def _configure_sqlite(connection: Any, record: object) -> None:
    connection.isolation_level = None  # transactions begin as `_begin_sqlite` says
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {pragma}")


def _configure_postgresql(connection: Any, record: object) -> None:
    """A process that is stopped in the middle of a transaction must not keep its locks."""
    with connection.cursor() as cursor:
        cursor.execute(f"SET idle_in_transaction_session_timeout = '{_IDLE_S}s'")
    connection.commit()


def _begin_sqlite(connection: sa.Connection) -> None:
    reads_only = connection.get_execution_options().get(_READS_ONLY)
    connection.exec_driver_sql("BEGIN" if reads_only else "BEGIN IMMEDIATE")


@contextmanager
def writing(engine: sa.Engine) -> Iterator[sa.Connection]:
    """A transaction: all that is done in it, or nothing."""
    with engine.begin() as connection:
        yield connection


@contextmanager
def reading(engine: sa.Engine) -> Iterator[sa.Connection]:
    """A transaction that sees the database as it is at one moment, and waits for nobody."""
    with engine.connect() as connection:
        options: dict[str, Any] = {_READS_ONLY: True}
        if engine.dialect.name == "postgresql":
            options = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        with connection.execution_options(**options).begin():
            yield connection


class UnwrittenError(exc.OperationalError):
    """The connection broke before a commit was sent: nothing of the transaction is written."""


def retrying() -> Retrying:
    """Runs a transaction again of which it is certain that nothing is written.

    Where a connection is lost at the commit it is not certain: the caller must ask the ledger
    what became of the request.
    """
    return Retrying(
        retry=retry_if_exception(wrote_nothing),
        wait=wait_random_exponential(multiplier=0.02, max=1),
        stop=stop_after_attempt(_ATTEMPTS),
        reraise=True,
    )


def wrote_nothing(error: BaseException) -> bool:
    """Whether a transaction was given up, by the database for the sake of another one or with
    its connection, and another attempt may do better."""
    if isinstance(error, UnwrittenError):
        return True
    if not isinstance(error, exc.DBAPIError) or error.connection_invalidated:
        return False
    # PostgreSQL: serialization_failure, deadlock_detected.
    state = getattr(error.orig, "sqlstate", None)
    return state in ("40001", "40P01") or "database is locked" in str(error.orig)
