"""The two sides that are compared, and what can be found.

All of them travel between Beam's workers and files as JSON objects of their fields.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Final, Self

NOT_BILLED: Final = "answered, not billed"
NOT_ANSWERED: Final = "billed, not answered"
DIFFERENT: Final = "counts differ"
UNREADABLE: Final = "unreadable"
REPEATED: Final = "computed again"
"""A repeated computation of a request that is billed once, shortly before or after: a retry,
not drift."""

DRIFT: Final = (NOT_BILLED, NOT_ANSWERED, DIFFERENT, UNREADABLE)


class LogsError(RuntimeError):
    """Logs that could not be compared; the message says why."""


# What is counted of a log, for each model.
COMPARED: Final = "records"
NOT_BILLED_RECORDS: Final = "records of requests that are not billed"
OUTSIDE: Final = "records outside the window"
SAMPLED: Final = "records of a sample"

ModelCounts = Counter[tuple[str, str]]
"""Counts by model and by what was counted."""


@dataclass(frozen=True, slots=True)
class Work:
    """What was computed, on either side.

    Attributes:
      at: seconds since 1970; when the server answered, or the ledger settled.
      input_tokens, output_tokens: of all its rows.
      finish_reasons: as `Usage` has them.
      cached_tokens: of the input's, on the ledger's side: what no server computed.
      where: the record's file and number, or the tenant's entry and request.
    """

    model: str
    model_version: str
    work_hash: str
    at: float
    input_tokens: int
    output_tokens: int
    finish_reasons: str
    where: str
    cached_tokens: int = 0

    @property
    def key(self) -> str:
        """What both sides of one request have in common."""
        return f"{self.model}/{self.model_version}/{self.work_hash}"

    def to_json(self) -> str:
        return json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Self:
        return cls(**json.loads(text))


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One record that is not on the other side as it must be.

    Attributes:
      at: seconds since 1970.
      kind: one of this module's.
      what: of which model, where, and what is wrong; no text of a client's.
    """

    at: float
    kind: str
    what: str

    def to_json(self) -> str:
        return json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Self:
        return cls(**json.loads(text))


@dataclass(frozen=True, slots=True)
class Compared:
    """A log against the ledger: what was found, in no order, and what was counted."""

    findings: list[Finding]
    counts: ModelCounts


@dataclass(frozen=True, slots=True)
class Window:
    """What is compared: both ends in seconds since 1970, the end not included.

    Attributes:
      slack_s: how long after its answer a request may be settled, and clocks may differ. What
        lies so near the window is looked at as a partner, and never named itself.
      retry_s: how far from a billed request the same work is taken for a retry of it.
    """

    since: float
    until: float
    slack_s: float = 120.0
    retry_s: float = 120.0

    def __post_init__(self) -> None:
        if self.until <= self.since or self.slack_s < 0 or self.retry_s < 0:
            raise ValueError(f"The window must end after it begins. Received: {self}")

    def has(self, at: float) -> bool:
        return self.since <= at < self.until

    def reaches(self, at: float) -> bool:
        """Whether it may be the partner of what is in the window."""
        margin = max(self.slack_s, self.retry_s)
        return self.since - margin <= at < self.until + margin
