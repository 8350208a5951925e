"""A tenant's archived month, read back into tables, so that it is asked as the ledger is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa

from serving.ledger import schema
from serving.ledger.archive_file import (
    ArchiveError,
    Row,
    Section,
    archive_path,
    read_archive,
    sha256_of,
)
from serving.ledger.database import reading
from serving.ledger.verified_chain import ROW_FIELDS

_TABLES = (schema.entries, schema.requests, schema.chains, schema.archives)


def is_archived(engine: sa.Engine, tenant: str, month: str) -> bool:
    """Whether entries of a tenant's month are in an archive."""
    archives = schema.archives.c
    there = sa.exists().where(archives.tenant == tenant, archives.month == month)
    with reading(engine) as connection:
        return bool(connection.scalar(sa.select(there)))


@contextmanager
def archived_month(
    engine: sa.Engine, tenant: str, month: str, folder: Path
) -> Iterator[sa.Engine]:
    """A database in memory with the section of a tenant's chain that is archived as a month.

    Raises:
      ArchiveError: the archive cannot be read, or is not the one that was written.
    """
    path, files, chains = archive_path(folder, month), schema.archive_files, schema.chains.c
    with reading(engine) as connection:
        expected = connection.scalar(sa.select(files.c.sha256).where(files.c.month == month))
        chain = connection.execute(
            sa.select(schema.chains).where(chains.tenant == tenant)
        ).one()
    if (found := sha256_of(path)) != expected:
        raise ArchiveError(
            f"{path} is not the archive of {month} that was written. Expected: SHA-256 "
            f"{expected}. Found: {found}"
        )
    in_memory = sa.create_engine("sqlite://", poolclass=sa.StaticPool)
    try:
        schema.metadata.create_all(in_memory, _TABLES)
        with in_memory.begin() as connection:
            for section, rows in read_archive(path, month):
                if section.tenant == tenant:
                    _fill(connection, section, list(rows))
            values = dict(chain._mapping) | {"number": _last(connection)}
            connection.execute(schema.chains.insert().values(values))
        yield in_memory
    finally:
        in_memory.dispose()


def _fill(connection: sa.Connection, section: Section, rows: list[Row]) -> None:
    entries = [dict(zip(ROW_FIELDS, row, strict=False)) for row in rows]
    connection.execute(schema.entries.insert(), entries)
    months = {row[ROW_FIELDS.index("request_id")]: row[-1] for row in rows if row[-1]}
    connection.execute(
        schema.requests.insert(),
        [
            {
                "request_id": request_id,
                "tenant": section.tenant,
                "request_hash": "",
                "state": schema.SETTLED,
                "month": month,
                "reserved_micro": 0,
                "owner": "",
                "created_at": rows[0][ROW_FIELDS.index("created_at")],
            }
            for request_id, month in months.items()
        ],
    )


def _last(connection: sa.Connection) -> int:
    number = connection.scalar(sa.select(sa.func.max(schema.entries.c.number)))
    return int(number or 0)
