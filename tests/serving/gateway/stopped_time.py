"""Time that passes when it is told to; see the fixture ``rate_time``."""

from __future__ import annotations

import time


class StoppedTime:
    """Stands where rates are counted, in the place of the module ``time``."""

    def __init__(self) -> None:
        self.now = time.time()

    def time(self) -> float:
        return self.now
