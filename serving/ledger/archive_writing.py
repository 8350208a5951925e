"""Writes a closed month's file, reads it back, and writes down what is in it."""

from __future__ import annotations

import datetime
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from serving.ledger import schema
from serving.ledger.archive_file import (
    ArchiveError,
    Section,
    read_archive,
    sha256_of,
    writing_archive,
)
from serving.ledger.audit_log import NOTHING, Record, write_change
from serving.ledger.authentication import LedgerKey
from serving.ledger.carried import carried, go_on
from serving.ledger.daily_usage import DailySums
from serving.ledger.database import reading, writing
from serving.ledger.verified_chain import ROW_FIELDS, Chain, Finding

_AT_A_TIME: Final = 1000
_PART: Final = ".part"
_FIELDS: Final = ", ".join(f"e.{name}" for name in ROW_FIELDS)

# A section: from behind what is archived to before the first entry of a later month.
_SECTIONS: Final = sa.text(
    "SELECT c.tenant, coalesce(a.last_number, 0) AS before, coalesce("
    "(SELECT min(e.number) FROM entries e WHERE e.tenant = c.tenant AND e.created_at >= :until "
    "AND e.number > coalesce(a.last_number, 0)), c.number + 1) - 1 AS last, a.carried "
    "FROM chains c LEFT JOIN archives a ON a.tenant = c.tenant AND a.last_number = "
    "(SELECT max(b.last_number) FROM archives b WHERE b.tenant = c.tenant) ORDER BY c.tenant"
).bindparams(sa.bindparam("until", type_=sa.DateTime))
_ENTRIES: Final = sa.text(
    f"SELECT {_FIELDS}, r.month, r.key_id FROM entries e LEFT JOIN requests r "
    "ON r.request_id = e.request_id AND r.tenant = e.tenant AND r.state = 'settled' "
    "WHERE e.tenant = :tenant AND e.number > :before AND e.number <= :last ORDER BY e.number"
).execution_options(yield_per=_AT_A_TIME)


def parts_of(path: Path) -> list[Path]:
    """Files that are written, or were, to become an archive."""
    return list(path.parent.glob(f".{path.name}.*{_PART}"))


def write_month(
    engine: sa.Engine,
    month: str,
    end: datetime.datetime,
    path: Path,
    key: LedgerKey | None,
    now: datetime.datetime,
    record: Record | None = None,
) -> int:
    """Write a month's file, and write down what is in it: steps 1 and 2 of
    `serving.ledger.archive`.

    Args:
      end: of the month, UTC; and `now`.
      record: makes the audit log's row; None: there is none.

    Returns:
      How many entries are in it.

    Raises:
      ArchiveError: its entries are not as they must be, or the file cannot be written.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}{_PART}")
    try:
        with reading(engine) as connection:
            sections = connection.execute(_SECTIONS, {"until": end}).all()
        rows = [row for row in sections if row.last > row.before]
        began = {row.tenant: row.carried for row in rows}
        written: list[tuple[Section, str]] = []
        usage = DailySums()
        with writing_archive(part, month, key) as archive, reading(engine) as connection:
            for row in rows:
                chain = _chain(row.tenant, row.carried)
                section = Section(
                    row.tenant,
                    row.before + 1,
                    row.last,
                    chain.previous,
                    _hash_of(connection, row.tenant, row.last),
                )
                archive.section(section)
                values = {"tenant": row.tenant, "before": row.before, "last": row.last}
                for *entry, key_id in connection.execute(_ENTRIES, values):
                    archive.entry(entry)
                    chain.add_row(entry)
                    usage.add(entry, entry[-1], key_id)
                _require_whole(section, chain)
                written.append((section, carried(chain)))
        _read_back(part, month, began, written)
        _publish(part, path)
    finally:
        with suppress(OSError):
            part.unlink()
    file = {"month": month, "sha256": sha256_of(path), "entries": archive.entries}
    _write_down(engine, file | {"written_at": now}, written, usage, record)
    return archive.entries


def _chain(tenant: str, before: str | None) -> Chain:
    chain = Chain(tenant)
    if before:
        go_on(chain, before)
    return chain


def _hash_of(connection: sa.Connection, tenant: str, number: int) -> str:
    entries = schema.entries.c
    query = sa.select(entries.hash).where(entries.tenant == tenant, entries.number == number)
    return str(connection.scalar(query))


def _require_whole(section: Section, chain: Chain) -> None:
    """
    Raises:
      ArchiveError: its entries are not as they must be.
    """
    findings = [*chain.findings]
    if (chain.number, chain.previous) != (section.last, section.last_hash):
        what = f"its section ends with entry {chain.number}. Expected: {section.last}"
        findings.append(Finding(section.tenant, None, what))
    if findings:
        raise ArchiveError(
            "What is not as it must be cannot be archived. `tallygraph ledger verify` finds: "
            + "; ".join(map(str, findings[:3]))
        )


def _read_back(
    part: Path,
    month: str,
    began: Mapping[str, str | None],
    written: Sequence[tuple[Section, str]],
) -> None:
    """
    Raises:
      ArchiveError: the file is not what was to be written.
    """
    expected = iter(written)
    for section, entries in read_archive(part, month):
        chain = _chain(section.tenant, began.get(section.tenant))
        for entry in entries:
            chain.add_row(entry)
        _require_whole(section, chain)
        if (section, carried(chain)) != next(expected, None):
            raise ArchiveError(f"{part} does not hold the section of {section.tenant}.")
    if (missing := next(expected, None)) is not None:
        raise ArchiveError(f"{part} does not hold the section of {missing[0].tenant}.")


def _publish(part: Path, path: Path) -> None:
    """Put a file in its place, for good; what is there already must be the same.

    Raises:
      ArchiveError: it is another one, or it cannot be done.
    """
    if path.exists() and (sha256_of(path) != sha256_of(part)):
        raise ArchiveError(
            f"{path} exists, and is not what is to be archived now. Move it away, or choose "
            "another folder."
        )
    try:
        part.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise ArchiveError(f"Cannot write the archive {path}: {error}") from None


def _write_down(
    engine: sa.Engine,
    file: Mapping[str, Any],
    written: Sequence[tuple[Section, str]],
    usage: DailySums,
    record: Record | None,
) -> None:
    month = file["month"]
    rows = [
        {
            "tenant": section.tenant,
            "last_number": section.last,
            "first_number": section.first,
            "month": month,
            "last_hash": section.last_hash,
            "carried": state,
        }
        for section, state in written
    ]
    sums = [{"archive": month, **each} for each in usage.rows()]
    try:
        with writing(engine) as connection:
            connection.execute(schema.archive_files.insert().values(removed=False, **file))
            if rows:
                connection.execute(schema.archives.insert(), rows)
            if sums:
                connection.execute(schema.archived_usage.insert(), sums)
            if record is not None:
                said = {name: file[name] for name in ("entries", "sha256")}
                write_change(connection, record(NOTHING, said))
    except sa.exc.IntegrityError:
        raise ArchiveError(
            f"{month} is being archived by another call, or its entries have changed."
        ) from None
