"""The one interface of every engine: start, wait until AVAILABLE, stop, logs."""

from __future__ import annotations

import socket
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Final, Self

from serving.model_config import ModelConfigFile
from serving.protocol import rest_api
from serving.protocol.errors import ClientError, RefusedError
from serving.protocol.exchange import AVAILABLE, Target
from serving.protocol.http_sync import HttpConnection

POLL_INTERVAL_S = 0.1
LOG_TAIL_LINES = 40
_STATUS_TIMEOUT_S: Final = 5.0

# What a server needs to run a model that was exported for XLA.
XLA_FLAGS: Final[Mapping[str, str]] = MappingProxyType({"xla_cpu_compilation_enabled": "true"})


# TensorFlow takes all of a GPU's memory otherwise, also where others are on it. And its
# products of float32 would be tf32's, whose rounding is near the margin by which a row's answer
# is kept from depending on its batch.
GPU_ENVIRONMENT: Final[Mapping[str, str]] = MappingProxyType(
    {"NVIDIA_TF32_OVERRIDE": "0", "TF_FORCE_GPU_ALLOW_GROWTH": "true"}
)


class EngineError(RuntimeError):
    """A model server cannot be started, died, or never became ready.

    The message contains the end of the server's log. Worth a retry only if the log says
    that a port was in use.
    """


@dataclass(frozen=True)
class ServerSpec:
    """The specification of a model server.

    Attributes:
      model_names: the models to wait for.
      flags: ``tensorflow_model_server``'s flags, without their dashes.
      grpc_port: TCP port; 0: a free one.
      rest_port: TCP port; 0: a free one.
      log_file: file for the server's output; None for a temporary file.
      paths: folders that the server reads; needed by an engine that does not see this machine's
          files.
      gpu: give it the GPUs, for an engine that does not see them by itself (in a container).
    """

    model_names: tuple[str, ...]
    flags: Mapping[str, str] = field(default_factory=dict)
    grpc_port: int = 0
    rest_port: int = 0
    log_file: Path | None = None
    paths: tuple[Path, ...] = ()
    gpu: bool = False

    @classmethod
    def single(
        cls,
        model_name: str,
        base_path: Path,
        flags: Mapping[str, str] | None = None,
        grpc_port: int = 0,
        rest_port: int = 0,
        log_file: Path | None = None,
    ) -> Self:
        """Return a spec for one model and its newest version.

        Args:
          base_path: the folder that contains the version folders.
          flags: further flags.
        """
        base_path = base_path.resolve()
        model = {"model_name": model_name, "model_base_path": str(base_path)}
        return cls(
            (model_name,),
            {**model, **(flags or {})},
            grpc_port,
            rest_port,
            log_file,
            (base_path,),
        )

    @classmethod
    def from_config(
        cls,
        model_names: tuple[str, ...],
        model_config_file: Path,
        flags: Mapping[str, str] | None = None,
        grpc_port: int = 0,
        rest_port: int = 0,
        log_file: Path | None = None,
    ) -> Self:
        """Return a spec for the models of a ``ModelServerConfig`` text proto.

        Args:
          model_names: those of the config's models that must be AVAILABLE.
          flags: further flags.

        Raises:
          ModelConfigError: the file is missing or not a text proto of a ModelServerConfig.
        """
        path = model_config_file.resolve()
        models = ModelConfigFile(path).read().model_config_list.config
        return cls(
            model_names,
            {"model_config_file": str(path), **(flags or {})},
            grpc_port,
            rest_port,
            log_file,
            (path.parent, *(Path(model.base_path) for model in models)),
        )

    def with_ports(self) -> Self:
        """Return the same spec with free ports in place of 0.

        TF Serving does not choose ports, so they must be known before it starts.
        """
        free = free_ports(2)
        return replace(
            self,
            grpc_port=self.grpc_port or free[0],
            rest_port=self.rest_port or free[1],
        )

    def arguments(self) -> list[str]:
        """Return the server's command line after the program; both ports must be known."""
        ports = {"port": str(self.grpc_port), "rest_api_port": str(self.rest_port)}
        return [f"--{name}={value}" for name, value in {**ports, **self.flags}.items()]


class RunningServer(ABC):
    """A model server that has been started. As a context manager it is stopped on exit.

    Attributes:
      engine: the name of the engine that started it.
      rest_url: such as ``http://127.0.0.1:8501``.
      grpc_address: such as ``127.0.0.1:8500``.
    """

    def __init__(self, engine: str, spec: ServerSpec) -> None:
        """
        Args:
          spec: with both ports known.
        """
        self.engine = engine
        self.spec = spec
        self.rest_url = f"http://127.0.0.1:{spec.rest_port}"
        self.grpc_address = f"127.0.0.1:{spec.grpc_port}"

    @abstractmethod
    def exit_status(self) -> int | None:
        """Return the server's exit status; None while it runs."""

    @abstractmethod
    def logs(self, last_lines: int | None = None) -> str:
        """Return the server's output, all of it or its last lines."""

    @abstractmethod
    def stop(self, timeout_s: float = 35.0) -> None:
        """Let the server complete the requests that it has begun, then stop it. No effect if it
        has ended.

        Args:
          timeout_s: time after which it is killed.
        """

    def wait_until_available(self, timeout_s: float) -> None:
        """Wait until every model has an AVAILABLE version.

        Raises:
          EngineError: the server ended, or was not ready in time.
        """
        deadline = time.monotonic() + timeout_s
        waiting = list(self.spec.model_names)
        reason = "it did not respond"
        with HttpConnection(self.rest_url) as connection:
            while waiting:
                if (status := self.exit_status()) is not None:
                    raise self.error(f"ended with status {status} before it was ready")
                reason = _why_not_available(connection, waiting[0])
                if not reason:
                    waiting.pop(0)
                elif time.monotonic() > deadline:
                    raise self.error(
                        f"was not ready after {timeout_s:g} s: {reason}. Allow more time, "
                        "or check its log"
                    )
                else:
                    time.sleep(POLL_INTERVAL_S)

    def wait(self) -> int:
        """Wait until the server ends by itself, and return its exit status."""
        while (status := self.exit_status()) is None:
            time.sleep(POLL_INTERVAL_S)
        return status

    def error(self, what: str) -> EngineError:
        """Return an error about this server, with the end of its log."""
        tail = self.logs(LOG_TAIL_LINES).strip() or "(nothing)"
        return EngineError(f"The {self.engine} model server {what}. Its log ends:\n{tail}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class Engine(ABC):
    """A way to run a model server.

    Attributes:
      name: ``local``, ``binary``, ...
      description: for a reader, with exactly what will be run.
    """

    name: str
    description: str

    @abstractmethod
    def command(self, spec: ServerSpec) -> list[str]:
        """Return the command line that `start` runs for a spec with both ports known."""

    @abstractmethod
    def start(self, spec: ServerSpec) -> RunningServer:
        """Start a server. It may not be ready yet when this returns.

        Raises:
          EngineError: it could not be started.
        """


class HeldPorts:
    """Ports that are held for servers, so that no other program gets them before.

    They are bound but nobody listens: connections before the server starts are refused. On
    Linux a server that sets SO_REUSEADDR, as servers do, can still listen there. On other
    systems it could not: there the ports are only free at the moment.

    Attributes:
      numbers: all different.
    """

    def __init__(self, count: int) -> None:
        self._sockets = [socket.socket() for _ in range(count)]
        for each in self._sockets:
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            each.bind(("127.0.0.1", 0))
        self.numbers = [each.getsockname()[1] for each in self._sockets]
        if sys.platform != "linux":
            self.close()

    def close(self) -> None:
        """Release the ports. No effect if they were already released."""
        for each in self._sockets:
            each.close()


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on at the moment, all different."""
    sockets = [socket.socket(socket.AF_INET, socket.SOCK_STREAM) for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def _why_not_available(connection: HttpConnection, name: str) -> str:
    try:
        statuses = connection.ask(rest_api.status(Target(name)), _STATUS_TIMEOUT_S)
    except RefusedError as error:
        return f"{name}: {error.message}"
    except ClientError as error:
        return str(error)
    states = {str(each.version): each.state for each in statuses}
    return "" if AVAILABLE in states.values() else f"{name}: {states}"
