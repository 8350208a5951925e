"""Opens a ledger that is there, or makes one where that is asked for."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from serving.ledger.database import open_database, reading
from serving.ledger.errors import LedgerError
from serving.ledger.upgrade import upgrade

_MARKS = frozenset({"alembic_version", "chains", "entries"})
"""Tables that every version of a ledger has."""


class NoLedgerError(LedgerError):
    """There is no ledger at the address, or something else."""


def open_ledger(url: str, *, create: bool = False, pool_size: int = 5) -> sa.Engine:
    """Open a ledger, its tables brought up to date.

    Args:
      url: as of `open_database`.
      create: make the tables, and of SQLite the file, where there are none.
      pool_size: connections.

    Raises:
      NoLedgerError: there is none, and none was to be made; or another program's tables.
      NewerLedgerError: it was made by a later version.
      sqlalchemy.exc.SQLAlchemyError: the database cannot be reached or written.
    """
    parts = sa.make_url(url)
    shown = without_password(parts)
    if not create and parts.get_backend_name() == "sqlite" and not _has_file(parts):
        raise NoLedgerError(
            f"There is no ledger at {shown}: the file does not exist. Check the address; "
            "`tallygraph tenants create` makes a ledger."
        )
    engine = open_database(url, pool_size)
    try:
        tables = _tables(engine)
        if not tables >= _MARKS and ("alembic_version" in tables or not create):
            other = "other tables" if tables else "no tables"
            raise NoLedgerError(
                f"There is no ledger at {shown}: the database has {other}. Check the address; "
                "`tallygraph tenants create` makes a ledger in an empty database."
            )
        upgrade(engine)
    except BaseException:
        engine.dispose()
        raise
    return engine


def without_password(url: sa.URL) -> str:
    """A database's URL to be printed: without its password, wherever that stands."""
    secret = [name for name in url.query if "password" in name.lower()]
    return url.difference_update_query(secret).render_as_string(hide_password=True)


def _has_file(url: sa.URL) -> bool:
    return bool(url.database) and Path(str(url.database)).is_file()


def _tables(engine: sa.Engine) -> set[str]:
    with reading(engine) as connection:
        return set(sa.inspect(connection).get_table_names())
