"""Checks a row of a corpus: it is usable as a pair, or rejected with a reason."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from components.corpus_example_gen.options import CorpusOptions

DEFAULT_SOURCE: Final = "unknown"
EXCERPT_CHARACTERS: Final = 200
MAX_LABEL_BYTES: Final = 1000  # of an id or a source


@dataclass(frozen=True, slots=True)
class RawRow:
    """A row as it is in a file.

    ``row`` counts from 1: the line a row starts on (JSONL, CSV; the header is a line), or
    the number of the record (Parquet, TFRecord). Values are text, bytes, None or whatever else
    the file contains.
    """

    file: str
    row: int
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that cannot be used. ``reason`` is a short key for counting."""

    file: str
    row: int
    reason: str
    detail: str
    excerpt: str

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Pair:
    """A usable row: four values of valid UTF-8, none of them empty."""

    document: bytes
    summary: bytes
    id: bytes
    source: bytes


class _UnusableError(ValueError):
    def __init__(self, reason: str, detail: str):
        super().__init__(reason)
        self.reason = reason
        self.detail = detail


def excerpt(content: object) -> str:
    """Return the beginning of a received value, always printable as UTF-8."""
    if isinstance(content, str):
        cut = content[:EXCERPT_CHARACTERS]
        try:
            # What was not UTF-8 in a CSV file stands in the text as lone surrogates.
            content = cut.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:
            content = cut.encode("utf-8", "backslashreplace")
    if isinstance(content, bytes):
        text = content[: 4 * EXCERPT_CHARACTERS].decode("utf-8", "backslashreplace")
    else:
        text = repr(content)
    return text[:EXCERPT_CHARACTERS]


def check_row(raw: RawRow, options: CorpusOptions) -> Pair | BadRow:
    """Check a row: return its pair, or the reason why it has none."""
    try:
        document = _text(raw, "document", options.document_field, options.max_document_bytes)
        summary = _text(raw, "summary", options.summary_field, options.max_summary_bytes)
        identity = _label(raw, "id", options.id_field)
        source = _label(raw, "source", options.source_field)
    except _UnusableError as error:
        return BadRow(raw.file, raw.row, error.reason, error.detail, _row_excerpt(raw))
    return Pair(
        document=document,
        summary=summary,
        id=identity or hashlib.sha256(document).hexdigest().encode(),
        source=source or DEFAULT_SOURCE.encode(),
    )


def _text(raw: RawRow, role: str, name: str, max_bytes: int) -> bytes:
    value = raw.fields.get(name)
    if value is None:
        there = ", ".join(sorted(map(str, raw.fields)))[:EXCERPT_CHARACTERS] or "none"
        raise _UnusableError(f"{role} is missing", f"no value for {name!r}; fields: {there}")
    content = _utf8(role, name, value)
    if not content.decode().strip():  # white space of any script
        raise _UnusableError(f"{role} is empty", f"{name!r} has no text")
    _bound(role, name, content, max_bytes)
    return content


def _label(raw: RawRow, role: str, name: str) -> bytes:
    """An optional id or source; empty where there is none."""
    value = raw.fields.get(name)
    if value is None:
        return b""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    content = _utf8(role, name, value).strip()
    _bound(role, name, content, MAX_LABEL_BYTES)
    return content


def _utf8(role: str, name: str, value: object) -> bytes:
    if not isinstance(value, str | bytes):
        raise _UnusableError(
            f"{role} is not text", f"{name!r} has a value of type {type(value).__name__}"
        )
    try:
        if isinstance(value, str):
            return value.encode()
        value.decode()
        return value
    except UnicodeError as error:
        raise _UnusableError(f"{role} is not UTF-8", f"{name!r}: {error}"[:300]) from None


def _bound(role: str, name: str, content: bytes, max_bytes: int) -> None:
    if len(content) > max_bytes:
        raise _UnusableError(
            f"{role} is too long",
            f"{name!r} has {len(content)} bytes; at most {max_bytes} are allowed",
        )


def _row_excerpt(raw: RawRow) -> str:
    each = max(20, EXCERPT_CHARACTERS // max(1, len(raw.fields)))
    parts = (f"{str(name)[:40]}={excerpt(value)[:each]}" for name, value in raw.fields.items())
    return "; ".join(parts)[:EXCERPT_CHARACTERS]
