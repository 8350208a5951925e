"""Moves the entries of a closed month into a file.

In this order, each step whole or not at all, so that whoever is killed loses nothing, and the
next call goes on:

1. The month's sections of all chains are verified, and written to a file beside its place. That
   is read back, verified from its first line to its last, and put in its place.
2. In one transaction, the file's SHA-256 is written down, and of each chain what its archived
   entries add up to. From here on the
   database allows these entries to be deleted, and no others.
3. Entries are deleted, some in each transaction, with their requests; idempotency keys stay.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from serving.ledger import schema
from serving.ledger.anchors import ChainEnd
from serving.ledger.archive_file import ArchiveError, archive_path, read_archive, sha256_of
from serving.ledger.archive_removal import remove_month
from serving.ledger.archive_writing import parts_of, write_month
from serving.ledger.audit_log import Record
from serving.ledger.authentication import LedgerKey
from serving.ledger.clock import Clock, utc_now
from serving.ledger.daily_usage import DailySums
from serving.ledger.database import reading
from serving.ledger.months import month_bounds
from serving.ledger.verified_chain import Chain

_CLOCKS_APART: Final = datetime.timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Archived:
    """What was archived.

    Attributes:
      path: of the file.
      entries: in it.
      removed: of the database, by this call.
    """

    path: Path
    entries: int
    removed: int


def archive_month(
    engine: sa.Engine,
    month: str,
    folder: Path,
    key: LedgerKey | None = None,
    clock: Clock = utc_now,
    record: Record | None = None,
) -> Archived:
    """Archive a closed month, or go on where an earlier call was stopped.

    Args:
      folder: where the file is, or is to be.
      key: to authenticate the file with; None: it is not.
      clock: UTC.
      record: makes the row of the audit log that is written when the month is; None: there is
        none.

    Raises:
      ArchiveError: the month has not ended, an earlier one is not archived, answers of it are
        still kept, its entries are not as they must be, or the file cannot be written or is not
        what was written.
      ValueError: it is no month.
    """
    _, end = month_bounds(month)
    path = archive_path(folder, month)
    known = _known(engine, month)
    if known is None:
        _check_closed(engine, month, end, clock())
        entries = write_month(engine, month, end, path, key, clock(), record)
    else:
        entries = known.entries
        if (found := sha256_of(path)) != known.sha256:
            raise ArchiveError(
                f"{path} is not the archive of {month} that was written. Expected: SHA-256 "
                f"{known.sha256}. Found: {found}"
            )
        if known.removed:
            return Archived(path, entries, 0)
    removed = remove_month(engine, month, end)
    for part in parts_of(path):  # of calls that were killed
        part.unlink(missing_ok=True)
    return Archived(path, entries, removed)


def read_archives(
    engine: sa.Engine,
    folder: Path,
    keys: Sequence[LedgerKey] = (),
    ends: Mapping[str, Sequence[ChainEnd]] = {},
) -> dict[str, Chain]:
    """Verify all archives of a ledger, from the first entry of each chain on.

    Args:
      folder: with the files.
      keys, ends: as of `serving.ledger.verification.check`, which goes on from here.

    Returns:
      Chains as far as they are archived, with what is wrong in them.

    Raises:
      ArchiveError: a file is missing, not whole, or not the one that was written.
    """
    files = schema.archive_files
    with reading(engine) as connection:
        rows = connection.execute(sa.select(files).order_by(files.c.month)).all()
    chains: dict[str, Chain] = {}
    sums = DailySums()
    for row in rows:
        path = archive_path(folder, row.month)
        if (found := sha256_of(path)) != row.sha256:
            raise ArchiveError(
                f"{path} is not the archive of {row.month} that was written. Expected: "
                f"SHA-256 {row.sha256}. Found: {found}"
            )
        for section, entries in read_archive(path, row.month, keys):
            name = section.tenant
            if name not in chains:
                chains[name] = Chain(name, keys, ends.get(name, ()))
            for entry in entries:
                chains[name].add_row(entry)
                sums.add(entry, entry[-1], None)
    for (name, month, day, model), what in _wrong_sums(engine, sums):
        chain = chains.setdefault(name, Chain(name, keys, ends.get(name, ())))
        chain.found(
            f"the archived usage of {day} of the model {model}, paid in {month}, {what}"
        )
    return chains


def _wrong_sums(engine: sa.Engine, sums: DailySums) -> Iterator[tuple[tuple[str, ...], str]]:
    """Where what is written down of archived entries by day is not what they add up to."""
    usage = schema.archived_usage.c
    keys = (usage.tenant, usage.month, usage.day, usage.model)
    counts = (
        *(usage.requests, usage.input_tokens, usage.cached_tokens, usage.output_tokens),
        usage.amount_micro,
    )
    added = sa.select(*keys, *map(sa.func.sum, counts)).group_by(*keys)
    with reading(engine) as connection:
        said = {tuple(row[:4]): tuple(map(int, row[4:])) for row in connection.execute(added)}
    expected = sums.without_keys()
    nothing = (0,) * len(counts)
    for key in sorted({*said, *expected}):
        if (found := said.get(key, nothing)) != (right := expected.get(key, nothing)):
            yield key, f"is {found} in the ledger. Expected: {right}, according to the archive"


def _known(engine: sa.Engine, month: str) -> sa.Row[Any] | None:
    files = schema.archive_files
    with reading(engine) as connection:
        return connection.execute(sa.select(files).where(files.c.month == month)).one_or_none()


def _check_closed(
    engine: sa.Engine, month: str, end: datetime.datetime, now: datetime.datetime
) -> None:
    """
    Raises:
      ArchiveError: it is too early to archive a month.
    """
    if now < end + _CLOCKS_APART:
        raise ArchiveError(
            f"{month} has not ended, or ended less than an hour ago. Archive it later."
        )
    start, _ = month_bounds(month)
    entries, files, answers = schema.entries.c, schema.archive_files, schema.answers.c
    with reading(engine) as connection:
        last, removed = connection.execute(
            sa.select(files.c.month, files.c.removed).order_by(files.c.month.desc()).limit(1)
        ).one_or_none() or ("", True)
        # An entry that was written behind an archived one by a clock that was set back is in
        # the next section.
        since = month_bounds(last)[1] if last else datetime.datetime.min
        oldest = connection.scalar(
            sa.select(sa.func.min(entries.created_at)).where(
                entries.created_at >= since, entries.created_at < start
            )
        )
    if not removed:
        raise ArchiveError(f"The archive of {last} is not finished. Archive that month again.")
    if last > month:
        raise ArchiveError(f"{last} is archived, which is later than {month}.")
    if oldest is not None:
        raise ArchiveError(
            f"There are entries of {oldest:%Y-%m}. Archive that month first: the sections of a "
            "chain follow one another."
        )
    kept = (
        sa.select(sa.func.count(), sa.func.max(answers.kept_until))
        .select_from(
            schema.answers.join(
                schema.entries,
                (entries.request_id == answers.request_id) & (entries.kind == "charge"),
            )
        )
        .where(entries.created_at < end, answers.kept_until > now)
    )
    with reading(engine) as connection:
        count, until = connection.execute(kept).one()
    if count:
        raise ArchiveError(
            f"{count} answers of {month} are still kept for repeated requests, until {until} "
            "UTC. Archive it after that."
        )
