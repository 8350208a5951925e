"""The model servers that a rollout changes, over gRPC."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Collection, Sequence
from typing import Final, Self

from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

from serving.protocol import grpc_api
from serving.protocol.errors import ClientError, RefusedError, TooSlowError, UnreachableError
from serving.protocol.exchange import AVAILABLE, END, LOADING, Target, VersionStatus
from serving.protocol.grpc_sync import GrpcConnection
from serving.protocol.statuses import Code, Kind

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
        self._connections: dict[str, GrpcConnection] = {}

    def close(self) -> None:
        for connection in self._connections.values():
            connection.close()

    def _servers(self) -> dict[str, GrpcConnection]:
        """Each server that there is now, by its address."""
        found = self.resolved()
        for address in found:
            if address not in self._connections:
                self._connections[address] = GrpcConnection(address)
        return {address: self._connections[address] for address in found}

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
        reload = grpc_api.reload_config(config.SerializeToString())
        for address, connection in self._servers().items():
            try:
                connection.ask(reload, RELOAD_TIMEOUT_S)
            except ClientError as error:
                raise _server_error(address, "did not accept the config", error) from None

    def wait_until_available(
        self, name: str, versions: Collection[int], timeout_s: float
    ) -> None:
        """Wait until every server has the versions of a model AVAILABLE.

        Raises:
          ServerError: one could not load a version, or not in time.
        """
        started = time.monotonic()
        for address, server in self._servers().items():
            while missing := set(versions) - _available(
                address,
                [each for each in _statuses(address, server, name) if each.version in versions],
                name,
                settled=time.monotonic() > started + _SETTLE_S,
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
            address: {entry.version: entry.state for entry in _statuses(address, server, name)}
            for address, server in self._servers().items()
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
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


def _statuses(address: str, server: GrpcConnection, name: str) -> Sequence[VersionStatus]:
    try:
        return server.ask(grpc_api.status(Target(name)), STATUS_TIMEOUT_S)
    except ClientError as error:
        if isinstance(error, RefusedError) and error.kind is Kind.ABSENT:
            return ()  # it has no version of the model yet
        raise _server_error(
            address, "does not report the state of its versions", error
        ) from None


def _available(
    address: str, statuses: Sequence[VersionStatus], name: str, settled: bool
) -> set[int]:
    for entry in statuses:
        over = entry.state == LOADING or (entry.state == END and settled)
        if entry.error_code != Code.OK.name and over:
            raise ServerError(
                f"{address} cannot load version {entry.version} of {name}: "
                f"{entry.error_message}"
            )
    return {entry.version for entry in statuses if entry.state == AVAILABLE}


def _server_error(address: str, what: str, error: ClientError) -> ServerError:
    gone = isinstance(error, UnreachableError) and not isinstance(error, TooSlowError)
    advice = " Check that a model server is running there." if gone else ""
    return ServerError(f"{address} {what} ({error}).{advice}")


def _numbers(versions: Collection[int]) -> str:
    return "version " + ", ".join(str(version) for version in sorted(versions))
