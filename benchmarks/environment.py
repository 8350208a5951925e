"""The machine on which something was measured."""

from __future__ import annotations

import datetime
import os
import platform
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Machine:
    """A machine as it was when measuring began.

    Attributes:
      processor: as the system names it.
      cores: that this process may run on.
      features: instructions that decide how fast products of matrices are.
      system: operating system and kind of processor.
      load: processes that ran or waited, average of the minute before.
      date: ISO 8601, UTC, in minutes.
    """

    processor: str
    cores: int
    features: tuple[str, ...]
    system: str
    load: float
    date: str

    def to_json(self) -> dict[str, object]:
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Machine:
        return cls(**values | {"features": tuple(values["features"])})

    def __str__(self) -> str:
        features = ", ".join(self.features) or "no vector instructions that are known here"
        return (
            f"{self.processor} ({features}), {self.cores} cores, {self.system}; load average "
            f"{self.load:.2f} at the start, {self.date}"
        )


# Share of the cores' time that others may take before it is worth a warning.
QUIET = 0.05
_FEATURES = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8")


def machine() -> Machine:
    """Return this machine in its current state."""
    name, flags = platform.processor() or platform.machine(), set[str]()
    # What lscpu reads, too.
    if (info := Path("/proc/cpuinfo")).exists():
        lines = info.read_text().split("\n\n")[0].splitlines()
        named = (line.partition(":") for line in lines if ":" in line)
        fields = {field.strip(): value.strip() for field, _, value in named}
        name = fields.get("model name", name)
        flags = set(fields.get("flags", "").split())
    return Machine(
        processor=name,
        cores=usable_cores(),
        features=tuple(each for each in _FEATURES if each in flags),
        system=f"{platform.system()} {platform.machine()}",
        load=os.getloadavg()[0],
        date=datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )


def usable_cores() -> int:
    """Cores that this process may run on; a container's limit of time is not seen."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def warn_if_busy(share: float | None) -> None:
    """Warn at once if `busy_share` has found that other processes take much time."""
    if share is not None and share > QUIET:
        print(
            f"other processes take {share:.0%} of the cores' time: engines whose threads spin "
            "will look slow. Stop what else runs, and measure again",
            flush=True,
        )


def most(shares: Iterable[float | None]) -> float | None:
    """The most that `busy_share` has found; None where it never found anything."""
    return max((share for share in shares if share is not None), default=None)


def others_took(share: float | None) -> str:
    """A sentence about the most that `busy_share` has found."""
    if share is None:
        return "It is not known how much time other processes took."
    return f"Between points, other processes took at most {share:.0%} of the cores' time."


def busy_share(seconds: float = 0.5) -> float | None:
    """Share of all cores' time that something took, of so many seconds from now.

    For a caller whose own processes rest meanwhile: what others take. None where the system
    does not tell (only Linux does).
    """
    stat = Path("/proc/stat")
    if not stat.exists():
        return None

    def ticks() -> tuple[int, int]:
        values = [int(each) for each in stat.read_text().split("\n")[0].split()[1:9]]
        return values[3] + values[4], sum(values)  # idle, waiting for a disk

    idle, total = ticks()
    time.sleep(seconds)
    idle_then, total_then = ticks()
    return 1 - (idle_then - idle) / max(total_then - total, 1)
