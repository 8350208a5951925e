"""Options that say how corpus files are read and which rows are usable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Final, Self

FORMATS: Final = ("auto", "jsonl", "json", "csv", "parquet", "arrow", "tfrecord")


class CorpusInputError(ValueError):
    """The corpus cannot be read as it was given. Never worth a retry."""


@dataclass(frozen=True, slots=True)
class CorpusOptions:
    """Format, field names and bounds of a corpus.

    Attributes:
      format: one of ``FORMATS``; ``auto`` determines it from each file's name and leaves out
        files whose name does not indicate a format.
      document_field, summary_field: field (JSON key, column, feature) of the texts.
      id_field, source_field: optional fields; an id defaults to the SHA-256 of the
        document, a source to ``unknown``.
      max_document_bytes, max_summary_bytes: in UTF-8; a row with a longer text is rejected.
      only: regular expression that the paths of the files to read must match; empty for all.
    """

    format: str = "auto"
    document_field: str = "document"
    summary_field: str = "summary"
    id_field: str = "id"
    source_field: str = "source"
    max_document_bytes: int = 100_000
    max_summary_bytes: int = 10_000
    only: str = ""

    def __post_init__(self) -> None:
        """Refuse options that are not valid, and report all of them at once.

        Raises:
          CorpusInputError: a format is unknown, a name empty or used twice, or a bound
            not positive.
        """
        errors = []
        if self.format not in FORMATS:
            errors.append(
                f"format must be one of {', '.join(FORMATS)}. Received: {self.format!r}"
            )
        names = (self.document_field, self.summary_field, self.id_field, self.source_field)
        if not all(names) or len(set(names)) < len(names):
            errors.append(
                f"the four field names must be given and must differ. Received: {names}"
            )
        for name in ("max_document_bytes", "max_summary_bytes"):
            if getattr(self, name) < 1:
                errors.append(f"{name} must be at least 1. Received: {getattr(self, name)}")
        if errors:
            raise CorpusInputError("Corpus options: " + "; ".join(errors) + ".")

    @property
    def max_line_bytes(self) -> int:
        """Length of the longest line that can contain a usable row, with every character
        escaped."""
        return 6 * (self.max_document_bytes + self.max_summary_bytes) + 65_536

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_dict` wrote; numbers may come back as floats.

        Raises:
          CorpusInputError: as for the constructor.
        """
        known: dict[str, Any] = {
            field.name: int(values[field.name])
            if field.name.startswith("max_")
            else str(values[field.name])
            for field in fields(cls)
            if field.name in values
        }
        return cls(**known)
