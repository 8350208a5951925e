"""Model servers that need not import TensorFlow anew: forks of an interpreter that has.

Each is the program that `tallygraph-model-server` runs, in a process of its own, with its own
command line, log and end; it is spared the seconds of the import, which are most of its start.
What the start itself must do is tested with the real one (`serving.engines.local`).
"""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, Final, cast

from serving.engines.local import LocalEngine

_POLL_S: Final = 0.01


class _Forker:
    """The interpreter that has imported everything; it starts at the first use of it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def ask(self, **request: Any) -> Any:
        with self._lock:
            if self._process is None:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", __name__],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                )
                atexit.register(self._process.communicate)  # at the end of its input, it ends
            assert self._process.stdin is not None and self._process.stdout is not None
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
            return json.loads(self._process.stdout.readline())


_FORKER: Final = _Forker()


class _Fork:
    """One of its children, as far as a `subprocess.Popen` is used."""

    def __init__(self, arguments: list[str], log: Path) -> None:
        self.pid = int(_FORKER.ask(arguments=arguments, log=str(log)))
        self.returncode: int | None = None

    def poll(self) -> int | None:
        if self.returncode is None:
            self.returncode = _FORKER.ask(pid=self.pid)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        deadline = float("inf") if timeout is None else time.monotonic() + timeout
        while (status := self.poll()) is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired("a model server", timeout or 0)
            time.sleep(_POLL_S)
        return status

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(9)


class WarmEngine(LocalEngine):
    """The local engine, whose servers are forks."""

    def _run(self, command: list[str], log: Path) -> subprocess.Popen[bytes]:
        return cast("subprocess.Popen[bytes]", _Fork(command[3:], log))  # after `-m module`


def _serve_forks() -> None:
    """Fork a server for each request, and say what has become of it when asked."""
    from serving.model_server import main as program

    program.prepare()
    import serving.model_server.server  # noqa: F401  (what takes seconds)

    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    for line in requests:
        request = json.loads(line)
        if "pid" in request:
            pid, status = os.waitpid(request["pid"], os.WNOHANG)
            answer = os.waitstatus_to_exitcode(status) if pid else None
        elif not (answer := os.fork()):
            requests.close()
            answers.close()
            _become_server(request["arguments"], request["log"])
        answers.write(json.dumps(answer).encode() + b"\n")
        answers.flush()


def _become_server(arguments: list[str], log: str) -> None:
    from serving.model_server import main as program

    os.setsid()
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    written = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(written, 1)
    os.dup2(written, 2)
    status = 1
    try:
        status = program.main(arguments)
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    _serve_forks()
