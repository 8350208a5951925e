"""`tallygraph gateway` as a child process: the only way in which code starts one. No
TensorFlow."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Self

from serving.engines.base import HeldPorts

READY: Final = "/readyz"
"""Private path; responds with 200 while requests are taken."""
SERVING: Final = "/model-servers"
"""Private path; responds with 200 once a model server has an available version."""
ALIVE: Final = "/healthz"
"""Responds with 200 as soon as the gateway listens, whatever the state of the model servers."""

# A gateway whose starter was killed must not stay behind.
_PROGRAM: Final = """
import os, threading, time
def end_with_starter():
    while os.getppid() == {starter}:
        time.sleep(1)
    os._exit(1)
threading.Thread(target=end_with_starter, daemon=True).start()
{setup}
from pipelines.cli import main
main()
"""
_POLL_S: Final = 0.02
_ANSWER_S: Final = 5.0
_STOP_S: Final = 60.0
_LOG_LINES: Final = 20


class GatewayProcessError(RuntimeError):
    """A gateway ended, or took too long to start. The message contains the end of its log."""


class GatewayProcess:
    """A gateway on this machine, which can be stopped and started again on its port.

    As a context manager it is started on entry and stopped on exit.

    Attributes:
      port: that it listens on.
      url: such as ``http://127.0.0.1:8600``.
      admin_url: of its private address, with metrics and readiness.
      log_file: its log, JSON lines; each start appends to it.
      process: of its last start.
    """

    def __init__(
        self,
        prices: Path,
        model_dir: Path,
        model_urls: Sequence[str],
        log_file: Path,
        *options: str,
        database: str | None = None,
        environment: Mapping[str, str] | None = None,
        setup: str = "",
    ) -> None:
        """
        Args:
          options: further options of `tallygraph gateway`.
          database: URL of the ledger's database; None: the environment decides.
          environment: all environment variables of the process; None: those of this process.
          setup: Python code to run before the command, in its process.
        """
        self._ports = HeldPorts(2)
        self.port, admin_port = self._ports.numbers
        self.url = f"http://127.0.0.1:{self.port}"
        self.admin_url = f"http://127.0.0.1:{admin_port}"
        self.log_file = log_file
        self.process: subprocess.Popen[bytes] | None = None
        self._environment = environment
        self._command = [
            *(
                sys.executable,
                "-c",
                _PROGRAM.format(starter=os.getpid(), setup=setup),
                "gateway",
            ),
            *("--prices", str(prices), "--model-dir", str(model_dir)),
            *("--port", str(self.port), "--admin-port", str(admin_port)),
            *(word for url in model_urls for word in ("--model-url", url)),
            *(("--database", database) if database is not None else ()),
            *options,
        ]

    @property
    def pid(self) -> int:
        """Process id of the process that was started last."""
        if self.process is None:
            raise GatewayProcessError("The gateway was not started. Call start() first.")
        return self.process.pid

    def start(self) -> None:
        """Start the process. It may not be listening yet when this returns."""
        self.log_file.parent.mkdir(parents=True, exist_ok=True)
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                self._command,
                env=None if self._environment is None else dict(self._environment),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                # An interrupt from the keyboard is for the starter, who ends it in order.
                start_new_session=True,
            )

    def wait_until(self, path: str = SERVING, timeout_s: float = 600.0) -> None:
        """Wait until the gateway responds with 200 at `SERVING`, `READY` or `ALIVE`.

        Raises:
          GatewayProcessError: it ended, or did not respond with 200 in time.
        """
        deadline = time.monotonic() + timeout_s
        # A proxy of the environment's is none for this machine's own ports.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        base = self.url if path == ALIVE else self.admin_url
        while True:
            try:
                with opener.open(f"{base}{path}", timeout=_ANSWER_S):
                    return
            except (urllib.error.URLError, OSError) as error:
                reason = str(error)
            if (status := self.exit_status()) is not None:
                raise self._error(f"ended with status {status} before it was ready")
            if time.monotonic() > deadline:
                raise self._error(f"was not ready after {timeout_s:g} s: {path}: {reason}")
            time.sleep(_POLL_S)

    def exit_status(self) -> int | None:
        """Return the exit status of the process that was started last; None while it runs."""
        return None if self.process is None else self.process.poll()

    def wait(self, timeout_s: float = 120.0) -> int:
        """Wait until the process has ended by itself, and return its exit status.

        Raises:
          GatewayProcessError: it is still running after the timeout.
        """
        deadline = time.monotonic() + timeout_s
        while (status := self.exit_status()) is None:
            if time.monotonic() > deadline:
                raise self._error(f"was still running after {timeout_s:g} s")
            time.sleep(_POLL_S)
        return status

    def kill(self) -> None:
        """Kill the process, as a crash would end it."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def stop(self, timeout_s: float = _STOP_S) -> None:
        """Let the process complete the requests that it has begun, then stop it. No effect if
        it has ended.

        Args:
          timeout_s: time after which it is killed.
        """
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._ports.close()

    def _error(self, what: str) -> GatewayProcessError:
        text = self.log_file.read_text(encoding="utf-8", errors="replace")
        tail = "\n".join(text.splitlines()[-_LOG_LINES:]) or "(nothing)"
        return GatewayProcessError(f"The gateway {what}. Its log ends:\n{tail}")
