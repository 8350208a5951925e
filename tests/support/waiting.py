"""Waiting for a state, however long a slow or busy machine takes to reach it."""

from __future__ import annotations

import time
from collections.abc import Callable

# Far above what the slowest machine needs: it ends a test that would wait for nothing.
_LIMIT_S = 300.0


def wait_until(
    reached: Callable[[], object],
    what: str,
    exit_status: Callable[[], int | None] = lambda: None,
    every_s: float = 0.02,
) -> None:
    """Return as soon as a state is reached.

    Args:
      reached: whether it is.
      what: the state in words, for the error.
      exit_status: of a process without which it never will be; None while that runs.

    Raises:
      AssertionError: the process ended first, or five minutes have passed.
    """
    deadline = time.monotonic() + _LIMIT_S
    while not reached():
        status = exit_status()
        assert status is None, f"the process ended with status {status} before {what}"
        assert time.monotonic() < deadline, f"waited {_LIMIT_S:.0f} s for {what}"
        time.sleep(every_s)
