"""Empty ledgers with today's tables, copied: making them takes a tenth of a second."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from serving.ledger.database import open_database
from serving.ledger.upgrade import upgrade

_PRIVATE: Final = 0o600  # as `open_database` makes it


@functools.cache
def _content() -> bytes:
    """Of an SQLite file."""
    with tempfile.TemporaryDirectory(prefix="tallygraph-tests-") as folder:
        file = Path(folder, "ledger.sqlite")
        engine = open_database(f"sqlite:///{file}")
        upgrade(engine)
        engine.dispose()  # its log goes into the file
        return file.read_bytes()


def sqlite_ledger(folder: Path) -> str:
    """The URL of ``ledger.sqlite`` in a folder: a new one, unless there is one."""
    file = folder / "ledger.sqlite"
    if not file.exists():
        file.touch(mode=_PRIVATE)
        file.write_bytes(_content())
    return f"sqlite:///{file}"


def create_database(server: sa.URL, name: str, template: str = "template1") -> str:
    """The URL of a new database of a PostgreSQL server: a copy of another one's tables.

    Nobody may be connected to that one.
    """
    # Not kept: a test may restart the server.
    administrator = sa.create_engine(
        server, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool
    )
    with administrator.connect() as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name} TEMPLATE {template}"))
    return server.set(database=name).render_as_string(hide_password=False)
