"""The model servers that a rollout changes, over gRPC."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Collection, Sequence
from types import TracebackType
from typing import Final, Self

import grpc
from tensorflow_serving.apis import (
    get_model_status_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
)
from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

RELOAD_TIMEOUT_S: Final = 600.0  # a server answers when the models it has not yet are loaded
STATUS_TIMEOUT_S: Final = 10.0
_POLL_S: Final = 0.1
# A version that failed once, and has just been asked for again, is still reported as failed.
_SETTLE_S: Final = 2.0
Lookup = Callable[[str], Sequence[str]]
"""The IP addresses that a host has now.

Raises:
  OSError: it has none.
"""
_State = get_model_status_pb2.ModelVersionStatus.State


class ServerError(RuntimeError):
    """A server does not respond, refuses a config, or cannot load a version."""


class ModelServers:
    """Replicas that serve the same models. As a context manager it is closed on exit.

    A host may have several addresses, as a headless Service of Kubernetes has: each is a
    server, and they are looked up again for each operation.
    """

    def __init__(self, addresses: Sequence[str], look_up: Lookup | None = None) -> None:
        """
        Args:
          addresses: ``host:port`` of each one's gRPC; none where no server is running.
          look_up: the addresses of a host; None for the system's.
        """
        self.addresses = tuple(addresses)
        self._look_up = look_up or system_addresses
        self._channels: dict[str, grpc.Channel] = {}
        self._stubs: dict[str, model_service_pb2_grpc.ModelServiceStub] = {}

    def close(self) -> None:
        for channel in self._channels.values():
            channel.close()

    def _servers(self) -> dict[str, model_service_pb2_grpc.ModelServiceStub]:
        """Each server that there is now, by its address."""
        found = self.resolved()
        for address in found:
            if address not in self._channels:
                channel = self._channels[address] = grpc.insecure_channel(address)
                self._stubs[address] = model_service_pb2_grpc.ModelServiceStub(channel)
        return {address: self._stubs[address] for address in found}

    def resolved(self) -> list[str]:
        """Each server's own address, as it is now.

        Raises:
          ServerError: a host has no address.
        """
        found = (each for address in self.addresses for each in self._resolved(address))
        return list(dict.fromkeys(found))

    def _resolved(self, address: str) -> list[str]:
        host, _, port = address.rpartition(":")
        try:
            hosts = self._look_up(host.strip("[]"))
        except OSError as error:
            raise ServerError(
                f"The address of {address} cannot be looked up: {error}. Expected: host:port "
                "of a running server's gRPC API."
            ) from None
        if len(hosts) == 1:
            return [address]  # as it was given, which says more
        return [f"[{each}]:{port}" if ":" in each else f"{each}:{port}" for each in hosts]

    def reload(self, config: ModelServerConfig) -> None:
        """Send a config to every server.

        Raises:
          ServerError: one did not accept it; those before it have accepted it.
        """
        request = model_management_pb2.ReloadConfigRequest(config=config)
        for address, stub in self._servers().items():
            try:
                response = stub.HandleReloadConfigRequest(request, timeout=RELOAD_TIMEOUT_S)
            except grpc.RpcError as error:
                raise _server_error(address, "did not accept the config", error) from None
            if response.status.error_code:
                raise ServerError(
                    f"{address} did not accept the config: {response.status.error_message}"
                )

    def wait_until_available(
        self, name: str, versions: Collection[int], timeout_s: float
    ) -> None:
        """Wait until every server has the versions of a model AVAILABLE.

        Raises:
          ServerError: one could not load a version, or not in time.
        """
        started = time.monotonic()
        for address in self._servers():
            while missing := set(versions) - self._available(
                address, name, versions, settled=time.monotonic() > started + _SETTLE_S
            ):
                if time.monotonic() > started + timeout_s:
                    raise ServerError(
                        f"{address} did not have {_numbers(missing)} of {name} AVAILABLE "
                        f"after {timeout_s:g} s. See its log. A server that tries again does "
                        "not say why before its last attempt: --max_num_load_retries and "
                        "--load_retry_interval_micros."
                    )
                time.sleep(_POLL_S)

    def states(self, name: str) -> dict[str, dict[int, str]]:
        """Return, by address, the state of each version of a model that the server knows.

        Raises:
          ServerError: one does not respond.
        """
        return {
            address: {entry.version: _State.Name(entry.state) for entry in statuses}
            for address in self._servers()
            for statuses in [self._statuses(address, name)]
        }

    def _available(
        self, address: str, name: str, versions: Collection[int], settled: bool
    ) -> set[int]:
        available = set()
        for entry in self._statuses(address, name):
            if entry.version not in versions:
                continue
            over = entry.state == _State.LOADING or (entry.state == _State.END and settled)
            if entry.status.error_code and over:
                raise ServerError(
                    f"{address} cannot load version {entry.version} of {name}: "
                    f"{entry.status.error_message}"
                )
            if entry.state == _State.AVAILABLE:
                available.add(entry.version)
        return available

    def _statuses(
        self, address: str, name: str
    ) -> Sequence[get_model_status_pb2.ModelVersionStatus]:
        request = get_model_status_pb2.GetModelStatusRequest()
        request.model_spec.name = name
        try:
            response = self._stubs[address].GetModelStatus(request, timeout=STATUS_TIMEOUT_S)
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                return ()  # it has no version of the model yet
            raise _server_error(
                address, "does not report the state of its versions", error
            ) from None
        return tuple(response.model_version_status)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def system_addresses(host: str) -> list[str]:
    """The addresses of a host by the system: those of IPv4 where it has any, else of IPv6,
    since a server need not listen on both.

    Raises:
      OSError: it has none.
    """
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    ipv4 = [str(each[4][0]) for each in found if each[0] == socket.AF_INET]
    return sorted({*(ipv4 or [str(each[4][0]) for each in found])})


def _server_error(address: str, what: str, error: grpc.RpcError) -> ServerError:
    advice = (
        " Check that a model server is running there."
        if error.code() is grpc.StatusCode.UNAVAILABLE
        else ""
    )
    return ServerError(f"{address} {what} ({error.code().name}: {error.details()}).{advice}")


def _numbers(versions: Collection[int]) -> str:
    return "version " + ", ".join(str(version) for version in sorted(versions))
