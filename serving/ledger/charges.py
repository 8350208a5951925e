"""Finds a charge that is to be given back: in the ledger, or in the archive that has it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from serving.ledger import schema
from serving.ledger.archive_file import (
    ArchiveError,
    Row,
    archive_path,
    read_archive,
    sha256_of,
)
from serving.ledger.chain import entry_hash
from serving.ledger.database import reading
from serving.ledger.errors import LedgerError
from serving.ledger.records import Entry
from serving.ledger.verified_chain import ROW_FIELDS


@dataclass(frozen=True, slots=True)
class FoundCharge:
    """A charge, which never changes.

    Attributes:
      archived_month: in whose account it is, if it is archived: its request may not be in the
        ledger any more. None: it is not archived.
      given_back: its reversal or refunds, as far as they are archived, too.
      archived_up_to: number of the tenant's last archived entry when all this was read; behind
        it, the ledger has what else was given back. 0: none is archived.
    """

    entry: Entry
    archived_month: str | None = None
    given_back: tuple[Entry, ...] = ()
    archived_up_to: int = 0


def find_charge(
    engine: sa.Engine, tenant: str, number: int, archives: Path | None
) -> FoundCharge:
    """
    Args:
      number: of the charge's entry.
      archives: folder with the archives; None: it is not archived.

    Raises:
      LedgerError: there is no such charge, or it is archived, and the folder was not given.
      ArchiveError: an archive cannot be read, or is not the one that was written.
    """
    of_charge = sa.select(schema.entries).where(
        schema.entries.c.tenant == tenant,
        schema.entries.c.number == number,
        schema.entries.c.kind == "charge",
    )
    sections = schema.archives.c
    files = schema.archive_files
    of_tenant = (
        sa.select(sections.month, sections.last_number, files.c.sha256)
        .join(files, files.c.month == sections.month)
        .where(sections.tenant == tenant, sections.last_number >= number)
        .order_by(sections.last_number)
    )
    with reading(engine) as connection:
        found = connection.execute(of_charge).one_or_none()
        archived = connection.execute(of_tenant).all()
    if archived:
        if archives is None:
            raise LedgerError(
                f"Entry {number} of {tenant} is in the archive of {archived[0].month}. Give "
                "the folder of the archives (--archives) to have it reversed or refunded."
            )
        return _archived_charge(tenant, number, archives, archived)
    if found is None:
        raise _no_charge(tenant, number)
    return FoundCharge(Entry(**found._mapping))


def _archived_charge(
    tenant: str, number: int, archives: Path, sections: Sequence[Any]
) -> FoundCharge:
    """
    Args:
      sections: month, last number and SHA-256 of the file, of the section that has the charge
        and of all after it: what was given back may be in any of them.
    """
    charge, month = None, ""
    given_back: list[Entry] = []
    for section in sections:
        for row in _rows(archives, tenant, section):
            entry = Entry(**dict(zip(ROW_FIELDS, row, strict=False)))
            if entry.number == number and entry.kind == "charge":
                charge, month = entry, str(row[-1])
            elif charge is not None and entry.request_id == charge.request_id:
                given_back.append(entry)
    if charge is None:
        raise _no_charge(tenant, number)
    for entry in (charge, *given_back):
        if entry.hash != entry_hash(entry):
            raise ArchiveError(
                f"Entry {entry.number} of {tenant} in the archive was changed: its hash does "
                "not match. `tallygraph ledger verify --archives` says more."
            )
    return FoundCharge(charge, month, tuple(given_back), sections[-1].last_number)


def _rows(archives: Path, tenant: str, section: Any) -> list[Row]:
    """A tenant's entries in the archive of a month.

    Raises:
      ArchiveError: it cannot be read, or is not the one that was written.
    """
    path = archive_path(archives, section.month)
    if (found := sha256_of(path)) != section.sha256:
        raise ArchiveError(
            f"{path} is not the archive of {section.month} that was written. Expected: SHA-256 "
            f"{section.sha256}. Found: {found}"
        )
    for each, rows in read_archive(path, section.month):
        if each.tenant == tenant:
            return list(rows)
    return []


def _no_charge(tenant: str, number: int) -> LedgerError:
    return LedgerError(f"The tenant {tenant} has no charge with the number {number}.")
