"""HTTP connections of the gateway: bounded, and with errors in the shape of all others."""

from __future__ import annotations

import uuid

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from serving.bounded_http import bounded_protocol
from serving.gateway.errors import bad_request
from serving.gateway.http.errors import error_response

MAX_CONNECTIONS = 1024
HEAD_TIMEOUT_S = 30.0


def gateway_protocol(
    max_connections: int = MAX_CONNECTIONS, head_timeout_s: float = HEAD_TIMEOUT_S
) -> type[HttpToolsProtocol]:
    """A protocol class for uvicorn.

    Args:
      max_connections: more make the one that has been idle longest close.
      head_timeout_s: a request's head that takes longer, from its first byte on, closes its
        connection.
    """

    class GatewayProtocol(bounded_protocol(max_connections, head_timeout_s)):  # type: ignore[misc]
        def send_400_response(self, msg: str) -> None:
            """Refuse what is not HTTP and so never reaches the application."""
            response = error_response(bad_request(f"{msg} Expected: a request of HTTP/1.1."))
            headers = [
                *response.raw_headers,
                (b"x-request-id", uuid.uuid4().hex.encode()),
                (b"connection", b"close"),
            ]
            head = b"".join(b"%b: %b\r\n" % header for header in headers)
            status = STATUS_LINE[response.status_code]
            self.transport.write(status + head + b"\r\n" + bytes(response.body))
            self.transport.close()

    return GatewayProtocol
