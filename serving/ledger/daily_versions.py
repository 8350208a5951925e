"""What model servers answered, and what they failed at, by day and version.

These are counts to compare versions by, and no charges: a gateway that dies loses those of its
last seconds, and answers of the cache are not among them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Final, NamedTuple

import sqlalchemy as sa

from serving.ledger.database import reading, writing


class VersionKey(NamedTuple):
    """
    Attributes:
      day: UTC, such as 2026-11-28.
      error: the code that clients got; empty for none.
    """

    day: str
    model: str
    version: str
    error: str


@dataclass(frozen=True, slots=True)
class VersionCounts:
    """Of requests to model servers.

    Attributes:
      latency_ms: sum, from sending a request to its response.
      summaries: texts that were summarised; those of failed requests were not.
      output_tokens: ids, of all summaries.
      stopped: summaries that the model ended; the others came to their limit.
    """

    requests: int = 0
    latency_ms: int = 0
    summaries: int = 0
    output_tokens: int = 0
    stopped: int = 0

    def __add__(self, other: VersionCounts) -> VersionCounts:
        return VersionCounts(
            self.requests + other.requests,
            self.latency_ms + other.latency_ms,
            self.summaries + other.summaries,
            self.output_tokens + other.output_tokens,
            self.stopped + other.stopped,
        )


_COUNTS: Final = tuple(each.name for each in fields(VersionCounts))
_ADD: Final = sa.text(
    f"INSERT INTO daily_versions (day, model, version, error, {', '.join(_COUNTS)}) "
    f"VALUES (:day, :model, :version, :error, {', '.join(f':{name}' for name in _COUNTS)}) "
    "ON CONFLICT (day, model, version, error) DO UPDATE SET "
    + ", ".join(f"{name} = daily_versions.{name} + excluded.{name}" for name in _COUNTS)
)
_READ: Final = sa.text(
    f"SELECT day, model, version, error, {', '.join(_COUNTS)} FROM daily_versions "
    "WHERE day >= :since ORDER BY day, model, version, error"
)


def add_version_counts(engine: sa.Engine, counts: Mapping[VersionKey, VersionCounts]) -> None:
    """Add to what is there, in one transaction."""
    # In order: gateways that write the same rows do not wait for each other in a circle.
    rows = [
        {**key._asdict(), **{name: getattr(counts[key], name) for name in _COUNTS}}
        for key in sorted(counts)
    ]
    with writing(engine) as connection:
        connection.execute(_ADD, rows)


def read_version_counts(engine: sa.Engine, since: str) -> dict[VersionKey, VersionCounts]:
    """Read those of all gateways.

    Args:
      since: the first day, such as 2026-11-01.
    """
    with reading(engine) as connection:
        return {
            VersionKey(*row[:4]): VersionCounts(*map(int, row[4:]))
            for row in connection.execute(_READ, {"since": since})
        }
