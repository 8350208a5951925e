"""The servers' processes: started, waited for, and what processor time they take."""

from __future__ import annotations

import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil

_START_TIMEOUT_S = 90.0
_END_TIMEOUT_S = 10.0


def processor_s(pid: int) -> float:
    """Processor time of a process and those that it started and that still run.

    Counted by the system in steps of 10 ms.
    """
    root = psutil.Process(pid)
    times = [each.cpu_times() for each in (root, *root.children(recursive=True))]
    return sum(each.user + each.system for each in times)


class Others:
    """What processes other than the given ones, and those that they started, take meanwhile."""

    def __init__(self, pids: Sequence[int]) -> None:
        self._pids = pids
        self._before = self._read()

    def share(self) -> float:
        """Of the cores' time, since this was made. A host that lends the cores counts, too."""
        (busy, total, ours), (busy_now, total_now, ours_now) = self._before, self._read()
        others = (busy_now - busy) - (ours_now - ours)
        return max(0.0, others / max(total_now - total, 0.01))

    def _read(self) -> tuple[float, float, float]:
        times = psutil.cpu_times()
        # Guests' time is in the users' already.
        total = sum(times[:8])
        return total - times.idle - times.iowait, total, sum(map(processor_s, self._pids))


@contextmanager
def running(
    name: str,
    command: Sequence[str | Path],
    ready_url: str,
    log: Path,
    environment: Mapping[str, str],
) -> Iterator[int]:
    """A server's process id, as soon as it answers.

    Args:
      ready_url: answers 200 as soon as the server is ready.
      log: file for what it writes.
      environment: all of it: nothing of this process's own leaks into another.

    Raises:
      RuntimeError: it ended, or took too long to start.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as written:
        process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=written,
            stderr=subprocess.STDOUT,
            env=dict(environment),
        )
    try:
        _wait(name, process, ready_url, log)
        yield process.pid
    finally:
        process.terminate()
        try:
            process.wait(_END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(name: str, process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + _START_TIMEOUT_S
    while True:
        try:
            with opener.open(url, timeout=5):
                return
        except (urllib.error.URLError, OSError) as error:
            last = error
        if process.poll() is not None or time.monotonic() > deadline:
            what = "ended" if process.poll() is not None else f"not in {_START_TIMEOUT_S:.0f} s"
            raise RuntimeError(
                f"{name} did not start: {what} ({last}). Expected: {url} answers. Its last "
                f"words, in {log}: {log.read_text(errors='replace')[-500:]}"
            )
        time.sleep(0.1)
