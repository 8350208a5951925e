"""HTTP connections that cannot starve each other.

Uvicorn alone lets a client hold a connection indefinitely without finishing its request's
headers, and responds with 503 to all clients once there are too many connections. Here headers
have a deadline from their first byte on, and the connection that has been idle longest is
closed to make room, unless it was used a moment ago. A connection that has sent nothing yet is
idle as one between two requests: load balancers and browsers open some before they have a
request, and send it at any time that a kept connection may wait. A response's head is written
together with the beginning of its body.
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

# Idle connections of polite clients are kept; room is made when it is needed.
KEEP_ALIVE_S = 75
POLITE_IDLE_S = 5


class _InOnePiece(h11.Connection):
    """Hands out the head of a response together with the beginning of its body, which follows
    at once: one write, and one packet for the client to wake up for."""

    _head = b""

    def send(self, event: h11.Event) -> bytes | None:  # type: ignore[override]
        data = super().send(event)
        if isinstance(event, h11.Response):
            self._head = data or b""
            return b""
        if not self._head:
            return data
        head, self._head = self._head, b""
        return head + (data or b"")


def bounded_protocol(max_connections: int, client_timeout_s: float) -> type[H11Protocol]:
    """Return a protocol class for uvicorn with these limits.

    Args:
      client_timeout_s: of a request's headers, from their first byte on. How long a connection
        may be idle, before its first request too, is uvicorn's ``timeout_keep_alive``.
    """

    class BoundedProtocol(H11Protocol):
        _idle_since = 0.0
        _deadline: asyncio.TimerHandle | None = None
        _unused: asyncio.TimerHandle | None = None

        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            # Uvicorn offers no setting for it.
            self.conn = _InOnePiece(h11.SERVER)

        @property
        def _idle(self) -> bool:
            return self.cycle is None or self.cycle.response_complete

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._idle_since = self.loop.time()
            self._unused = self.loop.call_later(self.timeout_keep_alive, self._close_unused)
            if len(self.connections) > max_connections:
                self._make_room()

        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            self._cancel_deadline()
            self._cancel_unused()

        def data_received(self, data: bytes) -> None:
            self._cancel_unused()
            if self._idle and self._deadline is None:
                self._set_deadline()  # a request has begun
            super().data_received(data)
            if not self._idle:
                self._cancel_deadline()

        def on_response_complete(self) -> None:
            super().on_response_complete()
            self._idle_since = self.loop.time()

        def _close_unused(self) -> None:
            self._unused = None
            self.transport.close()  # in order: nothing of a request is lost

        def _cancel_unused(self) -> None:
            if self._unused is not None:
                self._unused.cancel()
                self._unused = None

        def _set_deadline(self) -> None:
            self._deadline = self.loop.call_later(client_timeout_s, self._too_slow)

        def _cancel_deadline(self) -> None:
            if self._deadline is not None:
                self._deadline.cancel()
                self._deadline = None

        def _too_slow(self) -> None:
            self._deadline = None
            if self._idle:
                self.transport.abort()

        def _make_room(self) -> None:
            others = cast(set[Any], self.connections)
            ready = self.loop.time() - POLITE_IDLE_S
            candidates = [
                other
                for other in others
                if other is not self
                and other._idle
                and (other.cycle is None or other._idle_since < ready)
            ]
            # Who never asked anything goes before who may be about to ask again.
            victim = min(
                candidates,
                key=lambda other: (other.cycle is not None, other._idle_since),
                default=self,
            )
            victim.transport.abort()

    return BoundedProtocol
