"""A model server as a child process, whichever program it is."""

from __future__ import annotations

import signal
import socket
import subprocess
import tempfile
from pathlib import Path

from serving.engines.base import EngineError, RunningServer, ServerSpec


class ProcessServer(RunningServer):
    """A child process, its output in a file."""

    def __init__(
        self,
        engine: str,
        spec: ServerSpec,
        rest_port: int,
        grpc_port: int,
        process: subprocess.Popen[bytes],
        log_file: Path,
    ) -> None:
        super().__init__(engine, spec, rest_port, grpc_port)
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
        if self.spec.log_file is None:
            self.log_file.unlink(missing_ok=True)


def start_process(engine: str, command: list[str], spec: ServerSpec) -> ProcessServer:
    """Run a program with a spec's flags and ports.

    Args:
      command: the program and what comes before the flags.

    Raises:
      EngineError: the program cannot be run.
    """
    # TF Serving does not choose ports, so that they must be known before it starts.
    free = free_ports(2)
    grpc_port, rest_port = spec.grpc_port or free[0], spec.rest_port or free[1]
    flags = {"port": str(grpc_port), "rest_api_port": str(rest_port), **spec.flags}
    arguments = [f"--{name}={value}" for name, value in flags.items()]
    log_file = spec.log_file or _temporary_log(engine)
    with log_file.open("wb") as log:
        try:
            process = subprocess.Popen(
                [*command, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # An interrupt from the keyboard is for us to turn into a drain.
                start_new_session=True,
            )
        except OSError as error:
            raise EngineError(
                f"Cannot run {command[0]}: {error}. Expected an executable "
                "tensorflow_model_server or Python interpreter."
            ) from None
    return ProcessServer(engine, spec, rest_port, grpc_port, process, log_file)


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now, all different."""
    sockets = [socket.socket(socket.AF_INET, socket.SOCK_STREAM) for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def _temporary_log(engine: str) -> Path:
    with tempfile.NamedTemporaryFile(
        prefix=f"tallygraph-{engine}-", suffix=".log", delete=False
    ) as file:
        return Path(file.name)
