"""The file of a closed month: its entries, by tenant, with the ends of the chains.

JSON lines, compressed by gzip. The first line says what the file is; then, for each tenant, a
line with the section of its chain, and a line for each entry of it; the last one has the number
of entries and the SHA-256 of all lines before it, authenticated if there is a key. It holds
nothing that changes: the same month gives the same bytes, whenever it is written.
"""

from __future__ import annotations

import gzip
import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from serving.ledger.authentication import LedgerKey, wrong_anchor_code
from serving.ledger.errors import LedgerError
from serving.ledger.sql import time_of
from serving.ledger.verified_chain import ROW_FIELDS

FORMAT: Final = "tallygraph archive"
VERSION: Final = 1
_CREATED_AT: Final = ROW_FIELDS.index("created_at")


class ArchiveError(LedgerError):
    """An archive cannot be written, read or believed; the message says why."""


@dataclass(frozen=True, slots=True)
class Section:
    """Of a tenant's chain: the entries of a month.

    Attributes:
      first, last: numbers; the last is one less than the first where there are none.
      previous_hash, last_hash: of the entry before the first, and of the last.
    """

    tenant: str
    first: int
    last: int
    previous_hash: str
    last_hash: str


Row = Sequence[Any]
"""`ROW_FIELDS` of an entry, and the month in whose account it is."""


def archive_path(folder: Path, month: str) -> Path:
    return folder / f"ledger-{month}.jsonl.gz"


@dataclass
class ArchiveWriter:
    """Writes an archive, line after line.

    Attributes:
      entries: so far.
    """

    _file: Any
    _digest: Any
    entries: int = 0

    def section(self, section: Section) -> None:
        """Begin a tenant's section; its entries follow."""
        self._line(
            [
                section.tenant,
                section.first,
                section.last,
                section.previous_hash,
                section.last_hash,
            ]
        )

    def entry(self, row: Row) -> None:
        values = list(row)
        values[_CREATED_AT] = time_of(values[_CREATED_AT]).isoformat(" ", "microseconds")
        self.entries += 1
        self._line({"entry": values})

    def end(self, key: LedgerKey | None) -> None:
        self._line(self._end(key))

    def _end(self, key: LedgerKey | None) -> dict[str, Any]:
        digest = self._digest.hexdigest()
        code = key.of_anchor(digest) if key else ""
        return {"entries": self.entries, "sha256": digest, "code": code}

    def _line(self, content: Any) -> None:
        line = orjson.dumps(content) + b"\n"
        self._digest.update(line)
        self._file.write(line)


@contextmanager
def writing_archive(path: Path, month: str, key: LedgerKey | None) -> Iterator[ArchiveWriter]:
    """An archive to write, whole and on the disk when the context is left.

    Raises:
      ArchiveError: it cannot be written.
    """
    try:
        with (
            path.open("wb") as file,
            gzip.GzipFile("", "wb", compresslevel=6, fileobj=file, mtime=0) as packed,
        ):
            writer = ArchiveWriter(packed, hashlib.sha256())
            writer._line({"format": FORMAT, "version": VERSION, "month": month})
            yield writer
            writer.end(key)
            packed.close()
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise ArchiveError(f"Cannot write the archive {path}: {error}") from None


def read_archive(
    path: Path, month: str, keys: Sequence[LedgerKey] = ()
) -> Iterator[tuple[Section, Iterable[Row]]]:
    """The sections of an archive; the entries of each are read before the next one.

    Args:
      keys: with any of which the file must be authenticated; none: that is not checked.

    Raises:
      ArchiveError: it cannot be read, is of another month, is not whole, or was changed. What
        was read before that is not to be believed.
    """
    try:
        with gzip.open(path, "rb") as file:
            yield from _sections(path, month, keys, file)
    except (OSError, EOFError) as error:
        raise ArchiveError(f"Cannot read the archive {path}: {error}") from None
    except (KeyError, TypeError, ValueError, StopIteration) as error:
        raise ArchiveError(
            f"{path} is not an archive as this version writes it: {error!r}"
        ) from None


def _sections(
    path: Path, month: str, keys: Sequence[LedgerKey], lines: Iterable[bytes]
) -> Iterator[tuple[Section, Iterable[Row]]]:
    digest, entries, before = hashlib.sha256(), 0, ""
    reading = iter(lines)
    line: Any = None

    def read() -> Any:
        nonlocal before
        line = next(reading, b"")
        if not line.endswith(b"\n"):
            raise ArchiveError(f"The archive {path} is not whole: its end is missing.")
        before = digest.hexdigest()
        digest.update(line)
        return orjson.loads(line)

    def rows() -> Iterator[Row]:
        nonlocal entries, line
        while isinstance(line, dict) and "entry" in line:
            row = line["entry"]
            row[_CREATED_AT] = time_of(row[_CREATED_AT])
            entries += 1
            yield row
            line = read()

    head = read()
    if head != (expected := {"format": FORMAT, "version": VERSION, "month": month}):
        raise ArchiveError(f"The archive {path} begins with {head}. Expected: {expected}")
    line = read()
    while isinstance(line, list):
        section = Section(*line)
        line = read()
        of_section = rows()
        yield section, of_section
        for _ in of_section:  # whoever read them did not need all
            pass
    if (line["entries"], line["sha256"]) != (entries, before):
        raise ArchiveError(
            f"The archive {path} was changed: its last line says {line['entries']} entries "
            f"and SHA-256 {line['sha256']}. Found: {entries}, {before}"
        )
    if keys and (wrong := wrong_anchor_code(keys, before, line["code"])):
        raise ArchiveError(f"The archive {path} {wrong}.")
    if next(reading, None) is not None:
        raise ArchiveError(f"The archive {path} goes on after its end.")


def sha256_of(path: Path) -> str:
    """Of a file, in hex.

    Raises:
      ArchiveError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ArchiveError(f"Cannot read the archive {path}: {error}") from None
