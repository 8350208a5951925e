"""Transactions of SQLAlchemy's in which the database's own driver runs the statements."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import sqlalchemy as sa

from serving.ledger.database import UnwrittenError
from serving.ledger.sql import Driver


@contextmanager
def transaction(connection: sa.Connection, on_disk: bool = True) -> Iterator[Driver]:
    """A transaction: all that is done in it, or nothing.

    Args:
      on_disk: wait until it is there. Without, SQLite puts it there together with the next one
        that waits, and only the machine's own end can come in between. PostgreSQL waits always:
        its server can end without those that use it.

    Raises:
      UnwrittenError: the connection was lost, and nothing is written.
      sqlalchemy.exc.DBAPIError: what the driver raised, as SQLAlchemy would tell it.
    """
    with (
        _unsynced(connection) if not on_disk else nullcontext(),
        connection.begin(),
        # Before it is committed or rolled back: of all that was sent it is known what became.
        _as_sqlalchemy_tells(connection),
        _without_waiting(connection),
    ):
        yield Driver(connection)


@contextmanager
def _unsynced(connection: sa.Connection) -> Iterator[None]:
    if connection.dialect.name != "sqlite":
        yield
        return
    driver_connection: Any = connection.connection.driver_connection
    driver_connection.execute("PRAGMA synchronous = NORMAL")
    try:
        yield
    finally:
        driver_connection.execute("PRAGMA synchronous = FULL")


def _without_waiting(connection: sa.Connection) -> AbstractContextManager[Any]:
    """Where the driver can, statements are sent before the one before is answered."""
    dialect = connection.dialect
    if dialect.driver == "psycopg" and dialect.loaded_dbapi.Pipeline.is_supported():
        driver_connection: Any = connection.connection.driver_connection
        pipeline: AbstractContextManager[Any] = driver_connection.pipeline()
        return pipeline
    return nullcontext()


@contextmanager
def _as_sqlalchemy_tells(connection: sa.Connection) -> Iterator[None]:
    dialect = connection.dialect
    errors = dialect.loaded_dbapi.Error
    try:
        yield
    except errors as error:
        raw = None if connection.invalidated else connection.connection.dbapi_connection
        lost = dialect.is_disconnect(error, raw, None)
        if lost:
            if not connection.invalidated:
                connection.invalidate(error)
            # All that raises here comes before the commit.
            raise UnwrittenError(None, None, error, connection_invalidated=True) from error
        raise sa.exc.DBAPIError.instance(None, None, error, errors, dialect=dialect) from error
