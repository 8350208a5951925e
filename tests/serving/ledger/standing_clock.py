"""The time of the ledgers under test."""

from __future__ import annotations

import datetime

START = datetime.datetime(2026, 11, 25, 12, 0, 0)


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime.datetime:
        return self.now
