"""A phase as a process of its own: ``python -m benchmarks.gpu.child PHASE ARGUMENTS TARGET``.

What has been measured so far is written whenever there is more of it, so that a phase that is
stopped at its limit has not been for nothing.
"""

from __future__ import annotations

import importlib
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

Report = Callable[[dict[str, Any]], None]


def main(phase: str, arguments: str, target: str) -> None:
    """Run ``measure(report, **arguments)`` of a module of this package.

    Args:
      phase: the module's name.
      arguments: JSON.
      target: file for what it reports.
    """

    def report(values: dict[str, Any]) -> None:
        new = Path(f"{target}.new")
        new.write_text(json.dumps(values), encoding="utf-8")
        new.replace(target)

    module = importlib.import_module(f"benchmarks.gpu.{phase}")
    report(module.measure(report, **json.loads(arguments)))


def timed(
    call: Callable[[], object], most_s: float = 1.5, most: int = 30
) -> tuple[float, list[float]]:
    """Seconds of a first call, and of three or more, as many as fit, after it."""

    def once() -> float:
        started = time.perf_counter()
        call()
        return time.perf_counter() - started

    first = once()
    seconds = [once()]
    while len(seconds) < 3 or (sum(seconds) < most_s and len(seconds) < most):
        seconds.append(once())
        if len(seconds) > 1 and sum(seconds) > 4 * most_s:
            break
    return first, seconds


def timings(call: Callable[[], object]) -> dict[str, float]:
    """A first call in seconds; median, least and most of the next ones in milliseconds."""
    first, seconds = timed(call)
    return {
        "first_s": round(first, 2),
        "ms": round(1e3 * statistics.median(seconds), 2),
        "least_ms": round(1e3 * min(seconds), 2),
        "most_ms": round(1e3 * max(seconds), 2),
        "calls": len(seconds),
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
