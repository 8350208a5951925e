"""JSONL, JSON and CSV files as rows, one at a time: memory is bounded by the longest line."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Final, Protocol

import ijson
import orjson

from components.corpus_example_gen.rows import BadRow, RawRow, excerpt

_CHUNK_BYTES: Final = 1 << 20
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"


class Readable(Protocol):
    """What gives bytes; none at its end."""

    def read(self, size: int, /) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Line:
    """A line without its end; ``number`` counts from 1. ``whole`` is False if it was too long
    and cut."""

    number: int
    content: bytes
    whole: bool


def bounded_lines(stream: Readable, max_bytes: int) -> Iterator[Line]:
    """Lines of a stream, ended by LF or CRLF; of a longer line only the beginning."""
    rest = b""
    skipping = False  # inside a line whose beginning was given already
    number = 0
    while chunk := stream.read(_CHUNK_BYTES):
        *complete, rest = (rest + chunk).split(b"\n")
        for content in complete:
            if skipping:
                skipping = False
                continue
            number += 1
            yield _line(number, content, max_bytes)
        if skipping:
            rest = b""
        elif len(rest) > max_bytes + 1:  # + 1: the CR of a line end
            number += 1
            yield _line(number, rest, max_bytes)
            rest, skipping = b"", True
    if rest and not skipping:
        yield _line(number + 1, rest, max_bytes)


def _line(number: int, content: bytes, max_bytes: int) -> Line:
    if number == 1:
        content = content.removeprefix(_BYTE_ORDER_MARK)
    content = content.removesuffix(b"\r")
    return Line(number, content[:max_bytes], len(content) <= max_bytes)


def _too_long(file: str, line: Line, max_bytes: int) -> BadRow:
    detail = f"the line is longer than {max_bytes} bytes"
    return BadRow(file, line.number, "line is too long", detail, excerpt(line.content))


def read_jsonl(stream: Readable, file: str, max_line_bytes: int) -> Iterator[RawRow | BadRow]:
    """One JSON object a line. Every line gives a row, a blank one a rejected row."""
    for line in bounded_lines(stream, max_line_bytes):
        if not line.whole:
            yield _too_long(file, line, max_line_bytes)
            continue
        reason = detail = ""
        value: object = None
        try:
            line.content.decode()
            value = orjson.loads(line.content)
        except UnicodeDecodeError as error:
            reason, detail = "line is not UTF-8", str(error)[:300]
        except orjson.JSONDecodeError as error:
            reason = "malformed JSON" if line.content.strip() else "line is blank"
            detail = str(error)[:300]
        if isinstance(value, dict):
            yield RawRow(file, line.number, value)
            continue
        if not reason:
            reason, detail = "malformed JSON", "the line is not a JSON object"
        yield BadRow(file, line.number, reason, detail, excerpt(line.content))


class AsItComes:
    """A stream whose reads give what there is, not as much as was asked for.

    An archive that was cut short raises an error at its end: a read that waits for more than
    comes before the cut would lose that.
    """

    def __init__(self, stream: IO[bytes]):
        self._read = getattr(stream, "read1", stream.read)
        self._back = b""

    def read(self, size: int = _CHUNK_BYTES) -> bytes:
        """At most ``size`` bytes; none at the end."""
        if self._back:
            given, self._back = self._back[:size], self._back[size:]
            return given
        return bytes(self._read(size))

    def first_character(self) -> bytes:
        """The first that is no white space, which stays to be read; none in an empty file."""
        seen = b""
        while chunk := self._read(_CHUNK_BYTES):
            seen += chunk
            if start := seen.removeprefix(_BYTE_ORDER_MARK).lstrip():
                self._back = seen.removeprefix(_BYTE_ORDER_MARK)
                return start[:1]
        return b""


def read_json(stream: AsItComes, file: str, max_line_bytes: int) -> Iterator[RawRow | BadRow]:
    """The objects of an array, or one JSON object a line; the first character decides.

    Raises:
      ijson.JSONError: an array is damaged.
    """
    if stream.first_character() != b"[":
        yield from read_jsonl(stream, file, max_line_bytes)
        return
    for row, value in enumerate(ijson.items(stream, "item", use_float=True), start=1):
        if isinstance(value, dict):
            yield RawRow(file, row, value)
        else:
            detail = "the array's item is no JSON object"
            yield BadRow(file, row, "malformed JSON", detail, excerpt(value))


class _LineTooLongError(Exception):
    def __init__(self, line: Line):
        super().__init__(line.number)
        self.line = line


class _CsvLines:
    """Lines as text for ``csv.reader``, which may go on after an error."""

    def __init__(self, stream: Readable, max_bytes: int):
        self._lines = bounded_lines(stream, max_bytes)
        self.number = 0
        self.first = ""  # of the row being read

    def start_row(self) -> None:
        self.first = ""

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        self.number = line.number
        if not line.whole:
            raise _LineTooLongError(line)
        # Bytes that are no UTF-8 become lone surrogates, so that only the field that
        # holds them is refused, and the row's other fields can be shown.
        text = line.content.decode("utf-8", "surrogateescape")
        self.first = self.first or text
        return text + "\n"


def read_csv(
    stream: Readable, file: str, max_line_bytes: int, delimiter: str = ","
) -> Iterator[RawRow | BadRow]:
    """Read the rows below a header line; quoted fields may contain delimiters, quotes and line
    ends."""
    # The limit is the csv module's, for the whole process. It also bounds what one
    # forgotten quote can swallow: reading goes on with the line after.
    csv.field_size_limit(max_line_bytes)
    lines = _CsvLines(stream, max_line_bytes)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    header: list[str] | None = None
    while True:
        row = lines.number + 1
        lines.start_row()
        try:
            cells = next(reader)
        except StopIteration:
            return
        except _LineTooLongError as error:
            yield _too_long(file, error.line, max_line_bytes)
            continue
        except csv.Error as error:
            yield BadRow(file, row, "malformed CSV row", str(error), excerpt(lines.first))
            continue
        if not cells:
            yield BadRow(file, row, "line is blank", "no cells", "")
        elif header is None:
            header = [name.strip() for name in cells]
        elif len(cells) != len(header):
            detail = f"{len(cells)} cells; the header has {len(header)}"
            yield BadRow(file, row, "malformed CSV row", detail, excerpt(lines.first))
        else:
            yield RawRow(file, row, dict(zip(header, cells, strict=True)))
