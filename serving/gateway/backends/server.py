"""A model server by its address: a connection to it, and what it has now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from serving.gateway.backends.errors import BackendError
from serving.protocol.errors import RefusedError
from serving.protocol.exchange import AVAILABLE, AsyncConnection, Target
from serving.protocol.http_aio import HttpPool
from serving.protocol.statuses import Kind

_EXPECTED: Final = (
    "A model server's URL is not valid. Expected: http://host:8501 or https://host for "
    "REST, or grpc://host:8500."
)


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """What a server has at a moment.

    Attributes:
      available: the versions that it answers for.
      labels: the version of each label that was asked for; without those that it has not.
    """

    available: frozenset[int]
    labels: Mapping[str, int]


def connect(url: str, connections: int = 100) -> AsyncConnection:
    """A connection to a server; nothing is sent yet.

    Args:
      url: its scheme chooses the protocol.
      connections: of REST, at a time. gRPC needs one.

    Raises:
      BackendError: the URL is not valid.
    """
    wrong = BackendError(f"{_EXPECTED} Received: {url!r}.")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise wrong from None
    # A password in an address would end up in logs.
    if not parts.hostname or parts.username or parts.query or parts.fragment:
        raise wrong
    if parts.scheme in ("http", "https"):
        return HttpPool(url, connections)
    if parts.scheme == "grpc" and port is not None and parts.path in ("", "/"):
        # Not at the top: a gateway that asks over REST does without gRPC's library.
        from serving.protocol.grpc_aio import AioGrpcConnection

        return AioGrpcConnection(parts.netloc)
    raise wrong


async def server_status(
    connection: AsyncConnection, model: str, labels: Sequence[str], deadline: float
) -> ServerStatus:
    """What a server has of a model now, by asking it.

    A server that answers is alive, though it has no version of the model.

    Args:
      labels: whose versions are asked for, besides what is available.

    Raises:
      ClientError: as `AsyncConnection.ask`.
    """
    api = connection.api
    try:
        versions = await connection.ask(api.status(Target(model)), deadline)
    except RefusedError as error:
        if error.kind is not Kind.ABSENT:
            raise
        return ServerStatus(frozenset(), {})
    found: dict[str, int] = {}
    for label in labels:
        try:
            served = await connection.ask(api.metadata(Target(model, label=label)), deadline)
        except RefusedError as error:
            # Nobody has the label, or what has it is not loaded.
            if error.kind not in (Kind.ABSENT, Kind.REQUEST):
                raise
        else:
            found[label] = served.version
    available = frozenset(each.version for each in versions if each.state == AVAILABLE)
    return ServerStatus(available, found)
