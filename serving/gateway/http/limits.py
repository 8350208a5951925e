"""HTTP connections of the gateway: bounded, and with errors in the shape of all its others."""

from __future__ import annotations

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from serving.bounded_http import bounded_protocol
from serving.gateway.errors import bad_request
from serving.gateway.http.errors import error_response

MAX_CONNECTIONS = 1024
HEAD_TIMEOUT_S = 30.0


def gateway_protocol(
    max_connections: int = MAX_CONNECTIONS, head_timeout_s: float = HEAD_TIMEOUT_S
) -> type[H11Protocol]:
    """A protocol class for uvicorn.

    Args:
      max_connections: more make the one that has been idle longest close.
      head_timeout_s: a request's head that takes longer closes its connection.
    """

    class GatewayProtocol(bounded_protocol(max_connections, head_timeout_s)):  # type: ignore[misc]
        def send_400_response(self, msg: str) -> None:
            """Refuse what is not HTTP and so never reaches the application."""
            response = error_response(bad_request(f"{msg} Expected: a request of HTTP/1.1."))
            headers = [*response.raw_headers, (b"connection", b"close")]
            for event in (
                h11.Response(status_code=response.status_code, headers=headers),
                h11.Data(data=bytes(response.body)),
                h11.EndOfMessage(),
            ):
                self.transport.write(self.conn.send(event))
            self.transport.close()

    return GatewayProtocol
