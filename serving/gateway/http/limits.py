"""HTTP connections of the gateway: bounded, strict, and with errors in the shape of all others.

What two parsers could read in two ways is refused, so that no proxy in front can be made to
take one request for two: a body with both a length and an encoding, folded headers, lines that
end with a line feed alone.
"""

from __future__ import annotations

import uuid
from typing import Any, Final

import h11
from h11._receivebuffer import ReceiveBuffer
from uvicorn.protocols.http.h11_impl import H11Protocol

from serving.bounded_http import bounded_protocol
from serving.gateway.errors import bad_request
from serving.gateway.http.errors import error_response

MAX_CONNECTIONS = 1024
HEAD_TIMEOUT_S = 30.0
_BLANKS: Final = (b" ", b"\t")
_FRAMING: Final = (b"content-length", b"transfer-encoding")


class _StrictBuffer(ReceiveBuffer):
    """Hands out the lines of a head or a trailer only where they can be read in one way."""

    _extracted = bytearray()

    def _extract(self, count: int) -> bytearray:
        self._extracted = super()._extract(count)
        return self._extracted

    def maybe_extract_lines(self) -> list[bytearray] | None:
        """
        Raises:
          h11.RemoteProtocolError: they could be read in two ways.
        """
        lines: list[bytearray] | None = super().maybe_extract_lines()
        if lines is None:
            return None
        head = self._extracted
        if head.count(b"\n") != head.count(b"\r\n"):
            raise h11.RemoteProtocolError("A line ends with a line feed alone.")
        if head.startswith(_BLANKS) or any(b"\r\n" + each in head for each in _BLANKS):
            raise h11.RemoteProtocolError("A header is folded over several lines.")
        # Nearly no head has both anywhere.
        lower = head.lower()
        if all(name in lower for name in _FRAMING):
            names = {bytes(line.partition(b":")[0]).strip().lower() for line in lines[1:]}
            if names.issuperset(_FRAMING):
                raise h11.RemoteProtocolError(
                    "The body has both a Content-Length and a Transfer-Encoding."
                )
        return lines


def gateway_protocol(
    max_connections: int = MAX_CONNECTIONS, head_timeout_s: float = HEAD_TIMEOUT_S
) -> type[H11Protocol]:
    """A protocol class for uvicorn.

    Args:
      max_connections: more make the one that has been idle longest close.
      head_timeout_s: a request's head that takes longer, from its first byte on, closes its
        connection.
    """

    class GatewayProtocol(bounded_protocol(max_connections, head_timeout_s)):  # type: ignore[misc]
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            # h11 offers no setting for it.
            self.conn._receive_buffer = _StrictBuffer()

        def send_400_response(self, msg: str) -> None:
            """Refuse what is not HTTP and so never reaches the application."""
            response = error_response(bad_request(f"{msg} Expected: a request of HTTP/1.1."))
            headers = [
                *response.raw_headers,
                (b"x-request-id", uuid.uuid4().hex.encode()),
                (b"connection", b"close"),
            ]
            for event in (
                h11.Response(status_code=response.status_code, headers=headers),
                h11.Data(data=bytes(response.body)),
                h11.EndOfMessage(),
            ):
                self.transport.write(self.conn.send(event))
            self.transport.close()

    return GatewayProtocol
