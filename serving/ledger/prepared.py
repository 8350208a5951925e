"""Statements of SQLAlchemy's, compiled once and then run by the database's own driver.

What SQLAlchemy does around one small statement takes ten times as long as SQLite takes to run
it, and it waits for each answer. Here it makes the statements, from the one schema, and has the
connections, the transactions and the errors; only the running is the driver's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from operator import itemgetter
from typing import Any

import sqlalchemy as sa

from serving.ledger.database import UnwrittenError

Values = Mapping[str, Any]
Row = tuple[Any, ...]


class Prepared:
    """A statement for one kind of database."""

    def __init__(
        self,
        statement: Any,
        dialect: sa.Dialect,
        columns: Sequence[str] | None = None,
    ) -> None:
        """
        Args:
          columns: that an insert gives values for; None for all.
        """
        compiled = statement.compile(
            dialect=dialect, column_keys=list(columns) if columns else None
        )
        self.sql = str(compiled)
        self._to_driver = {
            name: process
            for bind, name in compiled.bind_names.items()
            if (process := bind.type.dialect_impl(dialect).bind_processor(dialect)) is not None
        }
        # What the statement says itself.
        self._constants = {
            name: bind.value for bind, name in compiled.bind_names.items() if not bind.required
        }
        # None: the driver takes parameters by their names.
        self._in_order = _taker(compiled.positiontup) if compiled.positiontup else None
        from_driver = [
            column.type.dialect_impl(dialect).result_processor(dialect, None)
            for column in getattr(statement, "selected_columns", ())
        ]
        self._from_driver = from_driver if any(from_driver) else None

    def parameters(self, values: Values) -> Any:
        """As the driver takes them."""
        if self._to_driver:
            changed = {name: process(values[name]) for name, process in self._to_driver.items()}
            values = {**values, **changed}
        if self._constants:
            values = {**self._constants, **values}
        return self._in_order(values) if self._in_order else values

    def rows(self, rows: Sequence[Row]) -> Sequence[Row]:
        """As they are in Python."""
        if self._from_driver is None:
            return rows
        processors = self._from_driver
        return [
            tuple(
                process(value) if process else value
                for process, value in zip(processors, row, strict=True)
            )
            for row in rows
        ]


class Driver:
    """Runs prepared statements in a transaction of SQLAlchemy's."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection.connection

    def ask(self, statement: Prepared, **values: Any) -> Callable[[], Sequence[Row]]:
        """Run a query; its rows are there when the result is called.

        Until then it need not have come to its end: so several can be on their way at once.
        """
        cursor = self._connection.cursor()
        cursor.execute(statement.sql, statement.parameters(values))
        return lambda: statement.rows(cursor.fetchall())

    def write(self, statement: Prepared, rows: Sequence[Values]) -> None:
        """Run a statement for each of some rows."""
        if len(rows) == 1:
            cursor = self._connection.cursor()
            cursor.execute(statement.sql, statement.parameters(rows[0]))
        elif rows:
            cursor = self._connection.cursor()
            cursor.executemany(statement.sql, [statement.parameters(row) for row in rows])


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


def _taker(names: Sequence[str]) -> Callable[[Values], Row]:
    """Makes a row of the values of some names."""
    take = itemgetter(*names)
    return take if len(names) > 1 else lambda values: (take(values),)
