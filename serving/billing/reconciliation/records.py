"""The two sides that are compared, and the possible findings.

All of them are passed between Beam's workers and files as JSON objects of their fields.
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
    """The logs cannot be compared; the message says why."""


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
      at: seconds since 1970 when the server answered, or the ledger settled.
      input_tokens, output_tokens: of all its rows.
      finish_reasons: as `Usage` has them.
      cached_tokens: on the ledger's side, the input tokens that no server computed.
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
        """The key that both sides of one request have in common."""
        return f"{self.model}/{self.model_version}/{self.work_hash}"

    def to_json(self) -> str:
        return json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Self:
        return cls(**json.loads(text))


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One record that does not match the other side.

    Attributes:
      at: seconds since 1970.
      kind: one of this module's.
      what: the model, the location, and what is wrong, without any client's text.
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
    """The comparison of a log with the ledger: findings, in no particular order, and counts."""

    findings: list[Finding]
    counts: ModelCounts


@dataclass(frozen=True, slots=True)
class Window:
    """The time window that is compared, in seconds since 1970, excluding the end.

    Attributes:
      slack_s: longest time between a response and its settlement, including differences between
        clocks. Records this close to the window can be partners, but are never reported.
      retry_s: longest time from a billed request at which the same work counts as its retry.
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
