"""A model server as a child process, for any program."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import tempfile
from pathlib import Path

from serving.engines.base import (
    GPU_ENVIRONMENT,
    Engine,
    EngineError,
    HeldPorts,
    RunningServer,
    ServerSpec,
)


class ProcessServer(RunningServer):
    """A child process, its output in a file.

    Attributes:
      ports: the ports that are held for it until it is stopped; None for none.
    """

    ports: HeldPorts | None = None

    def __init__(
        self,
        engine: str,
        spec: ServerSpec,
        process: subprocess.Popen[bytes],
        log_file: Path,
    ) -> None:
        super().__init__(engine, spec)
        self.process = process
        self.log_file = log_file

    def exit_status(self) -> int | None:
        return self.process.poll()

    def logs(self, last_lines: int | None = None) -> str:
        try:
            lines = self.log_file.read_text(encoding="utf-8", errors="replace").splitlines()
        except FileNotFoundError:
            return ""
        return "\n".join(lines if last_lines is None else lines[-last_lines:])

    def stop(self, timeout_s: float = 35.0) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.process.wait()
        if self.ports is not None:
            self.ports.close()
        if self.spec.log_file is None:
            self.log_file.unlink(missing_ok=True)


class ProcessEngine(Engine):
    """An engine whose command line is the server itself: it runs as long as the server does."""

    def start(self, spec: ServerSpec) -> ProcessServer:
        for port in (spec.grpc_port, spec.rest_port):
            _refuse_taken(port)
        spec = spec.with_ports()
        log_file = spec.log_file or _temporary_log(self.name)
        return self._server(spec, self._run(self.command(spec), log_file), log_file)

    def _run(self, command: list[str], log_file: Path) -> subprocess.Popen[bytes]:
        """Start a program, its output in a file."""
        with log_file.open("wb") as log:
            try:
                return subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    env={**GPU_ENVIRONMENT, **os.environ},
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    # An interrupt from the keyboard is for us to turn into a drain.
                    start_new_session=True,
                )
            except OSError as error:
                raise EngineError(
                    f"Cannot run {command[0]}: {error}. Expected: an executable program."
                ) from None

    def _server(
        self, spec: ServerSpec, process: subprocess.Popen[bytes], log_file: Path
    ) -> ProcessServer:
        return ProcessServer(self.name, spec, process, log_file)


def _refuse_taken(port: int) -> None:
    """Refuse a port that a server listens on: its answers would be taken for the new one's."""
    with socket.socket() as probe:
        probe.settimeout(1)
        if port and probe.connect_ex(("127.0.0.1", port)) == 0:
            raise EngineError(
                f"Another server is listening on port {port}. Expected: a free port; 0 stands "
                "for any. Stop the other server, or choose another port."
            )


def _temporary_log(engine: str) -> Path:
    with tempfile.NamedTemporaryFile(
        prefix=f"tallygraph-{engine}-", suffix=".log", delete=False
    ) as file:
        return Path(file.name)
