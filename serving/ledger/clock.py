"""The ledger's time: UTC, without a zone."""

from __future__ import annotations

import datetime
from collections.abc import Callable

Clock = Callable[[], datetime.datetime]


def utc_now() -> datetime.datetime:
    """Now."""
    return datetime.datetime.now(datetime.UTC).replace(tzinfo=None)
