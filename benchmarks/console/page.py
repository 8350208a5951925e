"""The console's figures as a page of the documentation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from benchmarks import markdown
from benchmarks.environment import Machine

TIMES: Final = 30
"""Requests of a page, after the first one."""


@dataclass(frozen=True)
class Figure:
    """How long a page takes, in ms.

    Attributes:
      database: sqlite or postgresql.
      first_ms: of the first request to a new application, the database's files not in the
        system's page cache.
      complete_ms: the same, until the page waits for no figures any more, which a browser asks
        for every 2 seconds and this benchmark at once.
      median_ms, longest_ms: of the `TIMES` requests after that.
    """

    database: str
    page: str
    first_ms: float
    complete_ms: float
    median_ms: float
    longest_ms: float


def render(figures: Sequence[Figure], sizes: dict[str, int], measured_on: Machine) -> str:
    """The page, in Markdown."""
    rows = [
        (
            {"sqlite": "SQLite", "postgresql": "PostgreSQL"}[each.database],
            each.page,
            *(
                f"{value:.1f} ms"
                for value in (
                    each.first_ms,
                    each.complete_ms,
                    each.median_ms,
                    each.longest_ms,
                )
            ),
        )
        for each in figures
    ]
    headers = ("database", "page", "first", "complete", "median", "longest")
    return (
        markdown.head("The console on a large ledger", "make bench-console")
        + ". Pages of the [console](../console.md), made by its "
        f"application in one process, on a ledger of {sizes['tenants']:,} tenants with "
        f"{sizes['entries']:,} entries, half of them of one tenant, and "
        f"{sizes['sums_by_day']:,} sums by day. No network is between. First: the first "
        "request to a new application, the database's files dropped from the system's page "
        "cache. Complete: until it waits for no figures any more. Median and longest: of the "
        f"{TIMES} requests after that.\n\n"
        + markdown.table(headers, rows)
        + f"\n{measured_on}. SQLAlchemy {sa.__version__}.\n"
    )
