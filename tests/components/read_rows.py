"""A corpus file, as the rows that are read of it."""

from __future__ import annotations

from pathlib import Path

from components.corpus_example_gen.files import CorpusFile, read_unit, units_of
from components.corpus_example_gen.options import CorpusOptions
from components.corpus_example_gen.rows import BadRow, RawRow

OPTIONS = CorpusOptions(max_document_bytes=40, max_summary_bytes=20)


def rows_of(path: Path, kind: str) -> list[RawRow | BadRow]:
    file = CorpusFile(str(path), path.name, kind)
    return [row for unit in units_of(0, file) for row in read_unit(unit, OPTIONS)]


def reasons(rows: list[RawRow | BadRow]) -> list[tuple[int, str]]:
    return [(row.row, row.reason) for row in rows if isinstance(row, BadRow)]
