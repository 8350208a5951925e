"""Opens a ledger that an earlier version wrote, on each database."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from serving.ledger import schema
from serving.ledger.database import open_database, writing
from serving.ledger.upgrade import _MIGRATIONS

OLD_LEDGERS: Final = Path(__file__).with_name("old_ledgers")


@contextmanager
def opened_old(
    file: Path, revision: str, database_url: str, folder: Path
) -> Iterator[sa.Engine]:
    """A copy of it, its tables as they were.

    Args:
      revision: of the file's tables.
      database_url: an empty database; on SQLite, ``ledger.sqlite`` in the folder.
    """
    if database_url.startswith("sqlite"):
        shutil.copy(file, folder / "ledger.sqlite")
        engine = open_database(database_url)
    else:
        engine = open_database(database_url)
        _copy(file, revision, engine)
    yield engine
    engine.dispose()


def _copy(file: Path, revision: str, engine: sa.Engine) -> None:
    """Its rows, into tables as its migrations made them."""
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    old = sa.create_engine(f"sqlite:///file:{file}?mode=ro&immutable=1&uri=true")
    with writing(engine) as connection, old.connect() as source:
        config.attributes.update(connection=connection, metadata=schema.metadata)
        command.upgrade(config, revision)
        tables = sa.MetaData()
        tables.reflect(source)
        for table in tables.sorted_tables:
            # The database numbers events itself, and must go on where these end.
            columns = [each for each in table.c if (table.name, each.name) != ("outbox", "id")]
            rows = [dict(row._mapping) for row in source.execute(sa.select(*columns))]
            if rows and table.name != "alembic_version":
                connection.execute(table.insert(), rows)
    old.dispose()
