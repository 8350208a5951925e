"""ServingValidator's findings, for a reader and for Pusher."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

MAX_MISMATCHES_LISTED = 50


@dataclass(frozen=True)
class Mismatch:
    """One value that differs, or one request that failed.

    Attributes:
      request: its position among the warm-up requests, from 0.
      protocol: ``gRPC`` or ``REST``.
      output: the output's name; empty if the request failed as a whole.
      row: the row of the batch; None if shapes differ or the request failed.
      expected: what the model returns when it is called in this process.
      received: what the server returned.
    """

    request: int
    signature: str
    protocol: str
    output: str
    row: int | None
    expected: Any
    received: Any

    def __str__(self) -> str:
        where = f"request {self.request} ({self.signature}) over {self.protocol}"
        if self.output:
            where += f", output {self.output}"
        if self.row is not None:
            where += f", row {self.row}"
        return f"{where}: expected {self.expected!r}, received {self.received!r}"


@dataclass
class Report:
    """The verdict and its reasons.

    Attributes:
      reason: one sentence that says why it is blessed or not.
      requests: number of warm-up requests replayed, each over both protocols.
      rows: rows of those requests.
      startup_s: seconds from the start of the server to AVAILABLE.
      server_log: the end of the server's log, if the server failed.
    """

    engine: str
    engine_description: str
    model_name: str
    blessed: bool = False
    reason: str = ""
    requests: int = 0
    rows: int = 0
    startup_s: float | None = None
    mismatches: list[Mismatch] = field(default_factory=list)
    server_log: str = ""

    def save(self, path: Path) -> None:
        """Write the report as JSON; long lists of mismatches are shortened, with their
        number."""
        document = asdict(self)
        document["mismatches_total"] = len(self.mismatches)
        document["mismatches"] = document["mismatches"][:MAX_MISMATCHES_LISTED]
        path.write_text(
            json.dumps(document, indent=2, ensure_ascii=False, default=str) + "\n",
            encoding="utf-8",
        )
