"""Anchors: the ends of all chains, kept where whoever can change the ledger cannot.

A chain alone cannot tell that its last entries are missing, or that all of it was written anew
with other hashes. An anchor can: an entry that once was the end of a chain is there for good.

An anchor is some CloudEvents, JSON lines of at most `CHAINS_A_LINE` chains each, so that the
same lines are appended to a file or delivered by the outbox. Each is authenticated if there is
a key.
"""

from __future__ import annotations

import datetime
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from serving.ledger import schema
from serving.ledger.authentication import LedgerKey, wrong_anchor_code
from serving.ledger.clock import Clock, utc_now
from serving.ledger.database import reading
from serving.ledger.errors import LedgerError
from serving.ledger.events import SOURCE

EVENT_TYPE: Final = "tallygraph.anchor"
CHAINS_A_LINE: Final = 1000


class AnchorError(LedgerError):
    """Anchors cannot be written or read; the message says why."""


@dataclass(frozen=True, slots=True)
class ChainEnd:
    """The end of a tenant's chain, as it was once.

    Attributes:
      number, hash: of its last entry.
      at: when, as ISO 8601.
    """

    number: int
    hash: str
    at: str


@dataclass
class Anchors:
    """What was read from files of anchors.

    Attributes:
      ends: by tenant.
      lines: how many were read.
      findings: what is wrong with them.
    """

    ends: dict[str, list[ChainEnd]] = field(default_factory=dict)
    lines: int = 0
    findings: list[str] = field(default_factory=list)


def make_anchor(
    engine: sa.Engine, key: LedgerKey | None = None, clock: Clock = utc_now
) -> list[str]:
    """The lines of an anchor of all chains as they are now.

    Args:
      clock: UTC.
    """
    with reading(engine) as connection:
        rows = connection.execute(sa.select(schema.chains).order_by(schema.chains.c.tenant))
        chains = [[row.tenant, row.number, row.hash] for row in rows]
    at = clock().replace(tzinfo=datetime.UTC).isoformat()
    parts = [chains[i : i + CHAINS_A_LINE] for i in range(0, len(chains), CHAINS_A_LINE)]
    return [
        _line(at, number, len(parts), part, key) for number, part in enumerate(parts, start=1)
    ]


def _line(at: str, part: int, parts: int, chains: list[Any], key: LedgerKey | None) -> str:
    data = {"part": part, "parts": parts, "chains": chains}
    event = {
        "specversion": "1.0",
        "id": f"anchor/{at}/{part}",
        "source": SOURCE,
        "type": EVENT_TYPE,
        "time": at,
        "datacontenttype": "application/json",
        "data": data | {"code": key.of_anchor(_signed(at, data)) if key else ""},
    }
    return json.dumps(event, ensure_ascii=False, separators=(",", ":"))


def _signed(at: str, data: dict[str, Any]) -> str:
    """The text that a line's code is of."""
    return json.dumps(
        [at, data["part"], data["parts"], data["chains"]],
        ensure_ascii=False,
        separators=(",", ":"),
    )


def append_to(path: Path, lines: Sequence[str]) -> None:
    """Append an anchor to a file, on the disk before this returns. It begins on a line of its
    own, whatever a crash has left of the one before.

    Raises:
      AnchorError: it cannot be written.
    """
    try:
        with path.open("a+b") as file:
            if file.tell():
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":
                    file.write(b"\n")
            file.writelines(f"{line}\n".encode() for line in lines)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise AnchorError(f"Cannot append to {path}: {error}") from None


def put_into_outbox(connection: sa.Connection, lines: Sequence[str]) -> None:
    """Have an anchor delivered with the usage events."""
    if lines:
        connection.execute(schema.outbox.insert(), [{"event": line} for line in lines])


def read_anchors(paths: Sequence[Path], keys: Sequence[LedgerKey] = ()) -> Anchors:
    """Read anchors from files, which may contain other events, too.

    A last line that is torn, as a crash leaves it that came while it was written, is a finding.

    Args:
      keys: with any of which a line must be authenticated; none: their codes are not checked.

    Raises:
      AnchorError: a file cannot be read, is none of JSON lines, or contains no anchor.
    """
    anchors = Anchors()
    for path in paths:
        before, parts = anchors.lines, dict[str, set[int]]()
        torn: list[str] = []
        for number, event in _events(path, torn):
            where = f"{path}, line {number}"
            try:
                _add(anchors, where, event, keys, parts)
            except (KeyError, TypeError, ValueError, AttributeError):
                raise AnchorError(
                    f"{where} is not an anchor as this version writes it."
                ) from None
        anchors.findings += torn
        if anchors.lines == before and not torn:
            raise AnchorError(f"{path} contains no anchor.")
        anchors.findings += [
            f"{path}: of the anchor of {at}, {len(missing)} lines are missing"
            for at, missing in parts.items()
            if missing
        ]
    return anchors


def _add(
    anchors: Anchors,
    where: str,
    event: dict[str, Any],
    keys: Sequence[LedgerKey],
    parts: dict[str, set[int]],
) -> None:
    data, at = event["data"], event["time"]
    anchors.lines += 1
    parts.setdefault(at, set(range(1, data["parts"] + 1))).discard(data["part"])
    if keys:
        wrong = (
            wrong_anchor_code(keys, _signed(at, data), data["code"])
            if data["code"]
            else "is not authenticated"
        )
        if wrong:
            anchors.findings.append(f"{where}: the anchor {wrong}")
            return
    for tenant, number, last in data["chains"]:
        anchors.ends.setdefault(tenant, []).append(ChainEnd(int(number), str(last), str(at)))


def _events(path: Path, torn: list[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    """The anchors in a file, with the numbers of their lines.

    Args:
      torn: is told of a last line that is not whole.
    """
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                event = _event(path, number, line, torn)
                if event is not None:
                    yield number, event
    except OSError as error:
        raise AnchorError(f"Cannot read the anchors: {error}") from None


def _event(path: Path, number: int, line: bytes, torn: list[str]) -> dict[str, Any] | None:
    """An anchor; None for another event, or the rest of one that was not written whole."""
    try:
        event: dict[str, Any] = json.loads(line)
        return event if event["type"] == EVENT_TYPE else None
    except (KeyError, TypeError, ValueError):
        # Only the last line of a file can be without its end.
        if not line.endswith(b"\n"):
            torn.append(
                f"{path}, line {number}: the last line is torn: whoever wrote it was stopped. "
                f"Its {len(line)} bytes are not checked; the lines before it are. Make another "
                "anchor, and remove this line"
            )
            return None
        raise AnchorError(
            f"{path} is not a file of events, one JSON object a line: line {number} is not "
            "one. If it was torn by a crash, remove it."
        ) from None
