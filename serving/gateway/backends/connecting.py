"""Model servers by their addresses."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from serving.gateway.backends.errors import BackendError
from serving.gateway.backends.rest_server import RestServer
from serving.gateway.backends.server import ModelServer

_EXPECTED: Final = (
    "A model server's URL is not valid. Expected: http://host:8501 or https://host for "
    "REST, or grpc://host:8500."
)


def connect(url: str, model: str, connections: int = 100) -> ModelServer:
    """The client of a server; nothing is sent yet.

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
        return RestServer(url, model, connections)
    if parts.scheme == "grpc" and port is not None and parts.path in ("", "/"):
        # Not at the top: a gateway that asks over REST does without gRPC's library.
        from serving.gateway.backends.grpc_server import GrpcServer

        return GrpcServer(url, model, parts.netloc)
    raise wrong
