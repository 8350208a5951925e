"""Reports what happened to a corpus's rows: ``rejects.jsonl`` and ``counts.json`` in the
artifact."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Self

from tfx.dsl.io import fileio

REJECTS_FILE: Final = "rejects.jsonl"
COUNTS_FILE: Final = "counts.json"
_EXAMPLES_IN_MESSAGE: Final = 3


@dataclass(slots=True)
class CorpusCounts:
    """Rows of a corpus. ``rows == sum(used) + rejected``: nothing is dropped silently.

    Attributes:
      rows: rows read.
      used: examples written, by split.
      rejected: rows that could not be used; each has a line in ``rejects.jsonl``.
      rejected_by_reason: the same by reason.
      files_read: names below the input base, in the order of reading.
      files_left_out: names that matched but hold no corpus by their name.
      repeated: rows whose document an earlier row of the split has, by split. They are used.
      shared: documents that more than one split has. They are used in each.
    """

    rows: int
    used: dict[str, int]
    rejected: int
    rejected_by_reason: dict[str, int]
    files_read: list[str] = field(default_factory=list)
    files_left_out: list[str] = field(default_factory=list)
    repeated: dict[str, int] = field(default_factory=dict)
    shared: int = 0

    def lines(self, examples_uri: str) -> list[str]:
        """What became of the rows, for the console."""
        used = ", ".join(f"{count:,} for {split}" for split, count in self.used.items())
        lines = [f"{self.rows:,} rows: {used}, {self.rejected:,} rejected"]
        for reason, count in self.rejected_by_reason.items():
            lines.append(f"rejected: {reason} ({count:,})")
        if self.rejected:
            lines.append(f"each rejected row: {examples_uri}/{REJECTS_FILE}")
        for split, count in self.repeated.items():
            if count:
                lines.append(
                    f"duplicates: {count:,} rows for {split} have the document of another row"
                )
        if self.shared:
            lines.append(
                f"duplicates: {self.shared:,} documents are in more than one split, so the "
                "quality that is measured is not only that of unseen documents"
            )
        if self.files_left_out:
            shown = ", ".join(self.files_left_out[:_EXAMPLES_IN_MESSAGE])
            more = " …" if len(self.files_left_out) > _EXAMPLES_IN_MESSAGE else ""
            lines.append(f"not read: {shown}{more}")
        return lines

    def save(self, examples_uri: str) -> None:
        """Write ``counts.json`` beside the splits."""
        with fileio.open(f"{examples_uri}/{COUNTS_FILE}", "w") as stream:
            stream.write(json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n")

    @classmethod
    def load(cls, examples_uri: str) -> Self:
        """Read the counts beside an Examples artifact's splits.

        Raises:
          FileNotFoundError: the artifact was not written by CorpusExampleGen.
        """
        path = f"{examples_uri}/{COUNTS_FILE}"
        if not fileio.exists(path):
            raise FileNotFoundError(
                f"{path} is missing. Expected: Examples of CorpusExampleGen."
            )
        with fileio.open(path) as stream:
            return cls(**json.loads(stream.read()))


def merge_rejects(parts: Sequence[str], examples_uri: str) -> Counter[str]:
    """Join reject files, in the given order, into one, and return the counts by reason.

    The joined file exists even if it is empty.
    """
    reasons: Counter[str] = Counter()
    with fileio.open(f"{examples_uri}/{REJECTS_FILE}", "wb") as joined:
        joined.write(b"")  # TensorFlow's files come to be with the first write only
        for part in parts:
            with fileio.open(part, "rb") as stream:
                for line in stream:
                    reasons[json.loads(line)["reason"]] += 1
                    joined.write(line)
    return reasons


def empty_split_message(counts: CorpusCounts, examples_uri: str, where: str) -> str:
    """Return the message that says why a split without examples ends the run, and what to
    do."""
    empty = [name for name, number in counts.used.items() if number == 0]
    used = ", ".join(f"{number} in {name}" for name, number in counts.used.items())
    reasons = ", ".join(
        f"{reason} ({number})" for reason, number in counts.rejected_by_reason.items()
    )
    shown = "".join(f"\n  {text}" for text in _first_rejects(examples_uri))
    if counts.rejected:
        step = "Correct these rows, or name the fields in corpus.document_field and "
        step += "corpus.summary_field."
    elif sum(counts.used.values()):
        step = "Give more rows, raise corpus.eval_fraction, or give files named "
        step += "train and validation."
    else:
        step = "The files are empty: use files with rows."
    return (
        f"There is no usable row for {' and '.join(empty)} in {where}. Expected: at least "
        f"one in each split. Received: {counts.rows} rows: {used}, {counts.rejected} "
        f"rejected{': ' + reasons if reasons else ''}. {step}{shown}"
    )


def _first_rejects(examples_uri: str) -> list[str]:
    shown = []
    with fileio.open(f"{examples_uri}/{REJECTS_FILE}") as stream:
        for line in stream:
            row: dict[str, Any] = json.loads(line)
            shown.append(f"{row['file']}, row {row['row']}: {row['reason']} ({row['detail']})")
            if len(shown) == _EXAMPLES_IN_MESSAGE:
                break
    return shown


def sorted_reasons(reasons: Mapping[str, int]) -> dict[str, int]:
    """Sort reasons by frequency, most frequent first, and equal ones by name."""
    return dict(sorted(reasons.items(), key=lambda item: (-item[1], item[0])))
