"""Corpus files: their formats, determined by name, and the units in which they are read."""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import IO, Final, cast

import ijson
import pyarrow as pa
from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems
from tfx.dsl.io import fileio

from components.corpus_example_gen import record_readers
from components.corpus_example_gen.options import CorpusOptions
from components.corpus_example_gen.rows import BadRow, RawRow
from components.corpus_example_gen.text_readers import (
    AsItComes,
    read_csv,
    read_json,
    read_jsonl,
)

_FORMAT_OF_NAME: Final = (
    (re.compile(r"\.(?:jsonl|ndjson)(?:\.gz)?$"), "jsonl"),
    (re.compile(r"\.json(?:\.gz)?$"), "json"),
    (re.compile(r"\.(?:csv|tsv)(?:\.gz)?$"), "csv"),
    (re.compile(r"\.(?:parquet|pq)$"), "parquet"),
    (re.compile(r"\.arrow$"), "arrow"),
    (re.compile(r"tfrecords?(?:-\d+-of-\d+)?(?:\.gz)?$"), "tfrecord"),
)
# What `datasets` and this project write of a corpus beside it, in JSON.
_DESCRIPTION: Final = re.compile(r"dataset_(?:infos?|dict)\.json|state\.json|corpus\.json")
_TAB_SEPARATED: Final = re.compile(r"\.tsv(?:\.gz)?$")
# What readers and decompressors raise for damaged content.
_DAMAGED: Final = (
    pa.ArrowException,
    EOFError,
    gzip.BadGzipFile,
    zlib.error,
    ijson.JSONError,
)


@dataclass(frozen=True, slots=True)
class CorpusFile:
    """A file to read: ``name`` is its path below the input base, as reports show it."""

    path: str
    name: str
    format: str


@dataclass(frozen=True, slots=True)
class ReadUnit:
    """The unit that one worker reads at a time: a file, or one row group of a Parquet file."""

    index: int
    file: CorpusFile
    row_group: int = 0


def format_of(path: str) -> str | None:
    """Return the format that a file's name indicates, or None."""
    name = path.rpartition("/")[2].lower()
    if _DESCRIPTION.fullmatch(name):
        return None
    for pattern, kind in _FORMAT_OF_NAME:
        if pattern.search(name):
            return kind
    return None


def list_files(base: str, pattern: str) -> list[str]:
    """List the files below ``base`` that match a glob, sorted, without folders."""
    paths = map(str, fileio.glob(f"{base.rstrip('/')}/{pattern}"))
    return sorted(path for path in paths if not fileio.isdir(path))


def choose_files(
    paths: Sequence[str], base: str, options: CorpusOptions
) -> tuple[list[CorpusFile], list[str]]:
    """Return the files to read, sorted, and the names of those left out.

    Left out are hidden files (a leading dot or underscore) and, if the format is determined by
    the name, files whose name does not indicate one. A file that ``options.only`` does not
    match is in neither list.
    """
    chosen, left_out = [], []
    for path in sorted(paths):
        if options.only and not re.fullmatch(options.only, path):
            continue
        name = path.removeprefix(base).lstrip("/")
        kind = format_of(path) if options.format == "auto" else options.format
        if path.rpartition("/")[2].startswith((".", "_")) or kind is None:
            left_out.append(name)
        else:
            chosen.append(CorpusFile(path, name, kind))
    return chosen, left_out


def units_of(index: int, file: CorpusFile) -> Iterator[ReadUnit]:
    """Return the units of one file. A damaged file is one unit, which reports the damage when
    read."""
    groups = 1
    if file.format == "parquet":
        try:
            with _open(file.path) as stream:
                groups = record_readers.parquet_row_groups(stream)
        except Exception as error:
            if not _is_damage(error):
                raise
    for row_group in range(groups):
        yield ReadUnit(index, file, row_group)


def read_unit(unit: ReadUnit, options: CorpusOptions) -> Iterator[RawRow | BadRow]:
    """Yield the rows of a unit, in order. Damage is reported as the last row, with the reason.

    Raises:
      OSError: the file cannot be opened or read.
    """
    last = 0
    try:
        for row in _rows(unit, options):
            last = row.row
            yield row
    except Exception as error:
        if not _is_damage(error):
            raise
        where = f"after row {last}" if last else "from the beginning"
        detail = f"the rest cannot be read, {where}: {error}"[:300]
        yield BadRow(unit.file.name, last + 1, "file is damaged", detail, "")


def _is_damage(error: Exception) -> bool:
    """Whether the content is at fault, not the access to it (permission, network)."""
    if isinstance(error, _DAMAGED):
        return True
    # pyarrow reports damaged pages as plain OSErrors without a number; TensorFlow is not
    # imported for the formats that don't need it, so its error is told by name.
    return (type(error) is OSError and error.errno is None) or (
        type(error).__name__ == "DataLossError"
    )


def _rows(unit: ReadUnit, options: CorpusOptions) -> Iterator[RawRow | BadRow]:
    file = unit.file
    if file.format == "tfrecord":
        yield from record_readers.read_tfrecord(file.path, file.name)
        return
    with _open(file.path) as stream:
        if file.format in ("parquet", "arrow"):
            names = (
                options.document_field,
                options.summary_field,
                options.id_field,
                options.source_field,
            )
            if file.format == "parquet":
                yield from record_readers.read_parquet(stream, file.name, unit.row_group, names)
            else:
                yield from record_readers.read_arrow(stream, file.name, names)
            return
        packed = file.path.lower().endswith(".gz")
        text = AsItComes(cast(IO[bytes], gzip.GzipFile(fileobj=stream)) if packed else stream)
        if file.format == "csv":
            tabs = _TAB_SEPARATED.search(file.path.lower())
            delimiter = "\t" if tabs else ","
            yield from read_csv(text, file.name, options.max_line_bytes, delimiter)
        else:
            read = read_json if file.format == "json" else read_jsonl
            yield from read(text, file.name, options.max_line_bytes)


def _open(path: str) -> IO[bytes]:
    # Through Beam, so that every file system it knows can hold a corpus; unpacked here,
    # because Beam's own reader takes a truncated archive for a whole one.
    file: IO[bytes] = FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED)
    return file
