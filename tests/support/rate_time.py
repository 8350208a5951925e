"""The time that rates are counted by, which tests can stop; see the fixture ``rate_time``."""

from __future__ import annotations

import time


class RateTime:
    """Monotonic seconds, or those that a test says."""

    def __init__(self) -> None:
        self.stopped_at: float | None = None

    def __call__(self) -> float:
        return time.monotonic() if self.stopped_at is None else self.stopped_at

    def stop(self) -> None:
        """From now on no minute is over before a test says so."""
        self.stopped_at = time.monotonic()

    def pass_minute(self) -> None:
        """A minute is over, and what was counted in it has left."""
        assert self.stopped_at is not None
        self.stopped_at += 61


RATE_TIME = RateTime()
"""Of all gateways in this process."""
