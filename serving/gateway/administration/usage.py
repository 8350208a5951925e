"""What was used, by day, key and model."""

from __future__ import annotations

import datetime
import re
from typing import Final

import sqlalchemy as sa

from serving.gateway.tenants import TenantError
from serving.ledger.daily_usage import UsageQuery, UsageRow, read_usage

_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def usage_by(engine: sa.Engine, query: UsageQuery) -> list[UsageRow]:
    """Read a page of usage.

    Raises:
      TenantError: a day is not one, or what it is added up by is not.
    """
    for day in (query.since, query.until):
        if day:
            _check_day(day)
    try:
        return read_usage(engine, query)
    except ValueError as error:
        raise TenantError(str(error)) from None


def _check_day(text: str) -> None:
    try:
        if not _DAY.fullmatch(text):
            raise ValueError
        datetime.date.fromisoformat(text)
    except ValueError:
        raise TenantError(
            f"A day is expected in the form 2026-11-30. Received: {text[:100]!r}"
        ) from None
