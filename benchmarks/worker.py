"""A separate process for each engine that is measured, so that engines can take turns.

A worker writes JSON, one value per line: after start-up its description, then a response
to each request. `benchmarks.worker_loop` is its side. Between its turns a worker is stopped
(SIGSTOP): thread pools that spin while they wait would take the time of whose turn it is, and
to tell them not to would slow them down in their own turn.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


class WorkerError(RuntimeError):
    """A worker responded with an error, or died. The message says which, and why."""


class Worker:
    """A running worker.

    Attributes:
      name: for messages.
      ready: what it said of itself.
    """

    def __init__(self, name: str, command: Sequence[str | Path], log: Path) -> None:
        """Start it and wait until it is ready.

        Args:
          name: for messages.
          command: program and arguments; runs in the project's folder.
          log: file for what it writes to standard error.

        Raises:
          WorkerError: it cannot be started.
        """
        self.name = name
        self._log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        # The caller's environment must not leak into another one's interpreter.
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
        with log.open("wb") as errors:
            self._process = subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                cwd=ROOT,
                env=environment,
            )
        try:
            self.ready = self._answer()
        except BaseException:
            self.close()
            raise

    def ask(self, request: Any) -> dict[str, Any]:
        """Wake it, send a request, wait for the response, and stop it again.

        Raises:
          WorkerError: it answered with an error, or died.
        """
        assert self._process.stdin is not None
        try:
            self._process.send_signal(signal.SIGCONT)
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise WorkerError(self._last_words()) from None
        return self._answer()

    def close(self) -> None:
        """End it, stopped or not."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            # What it has not read of a request is of no use any more.
            with contextlib.suppress(BrokenPipeError):
                if pipe is not None:
                    pipe.close()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise WorkerError(self._last_words())
        self._process.send_signal(signal.SIGSTOP)
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise WorkerError(answer["error"])
        return answer

    def _last_words(self) -> str:
        status = self._process.wait()
        written = self._log.read_text(encoding="utf-8", errors="replace").strip()
        last = written.splitlines()[-1][:300] if written else "nothing on standard error"
        return f"ended with status {status}: {last}"
