"""Checks a ledger in a process of its own: ``python -m serving.ledger.check_process``.

It reads what is asked from its input, a JSON object, and writes what was found to its output,
another one. So a gateway can have its ledger checked without computing itself.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from serving.ledger.anchors import Anchors, read_anchors
from serving.ledger.authentication import LedgerKey
from serving.ledger.errors import LedgerError
from serving.ledger.opening import open_ledger
from serving.ledger.verification import check

_NICE: Final = 10


def checked(asked: dict[str, Any]) -> dict[str, Any]:
    """What comes of a check.

    Args:
      asked: the ledger's ``url``, a ``tenant`` or an empty text, files of ``keys``, and lines
        of ``anchors``.

    Returns:
      ``checked``, ``unauthenticated``, ``anchor_lines`` and ``findings``; or an ``error``: what
      was asked cannot be checked.
    """
    try:
        keys = [LedgerKey.load(Path(each)) for each in asked["keys"]]
        anchors = _anchors(asked["anchors"], keys)
        engine = open_ledger(asked["url"])
    except LedgerError as error:
        return {"error": str(error)}
    try:
        report = check(engine, asked["tenant"] or None, keys, anchors.ends)
    finally:
        engine.dispose()
    return {
        "checked": report.checked,
        "unauthenticated": report.unauthenticated,
        "anchor_lines": anchors.lines,
        "findings": [*anchors.findings, *map(str, report.findings)],
    }


def _anchors(lines: list[str], keys: list[LedgerKey]) -> Anchors:
    if not lines:
        return Anchors()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "anchors"
        file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        return read_anchors([file], keys)


def main() -> None:
    """Answer one question."""
    os.nice(_NICE)  # clients come first
    json.dump(checked(json.load(sys.stdin)), sys.stdout)


if __name__ == "__main__":
    main()
