"""One connection of HTTP/1.1 to a model server: a request after the other, by `h11`.

The gateway sends many small requests to few servers. For that, a general client's handling of
redirects, cookies and pools costs several times what the request itself does.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final

import h11

from serving.client.errors import BadAnswerError, UnreachableError

MAX_ANSWER_BYTES: Final = 64 * 1024 * 1024
# Shorter than servers keep one open: a request must not be sent into a closing connection.
_KEPT_OPEN_S: Final = 3.0

Answer = tuple[int, bytes]
"""The status, and the body."""


class HttpConnection(asyncio.Protocol):
    """A connection that `asyncio` has made. It is asked one thing at a time."""

    def __init__(self) -> None:
        self._http = h11.Connection(h11.CLIENT)
        self._transport: asyncio.Transport | None = None
        self._waiting: asyncio.Future[Answer] | None = None
        self._status = 0
        self._body = bytearray()
        self._used_at = time.monotonic()

    @property
    def is_reusable(self) -> bool:
        """Whether another request may be sent on it."""
        return (
            self._transport is not None
            and not self._transport.is_closing()
            and self._http.our_state is h11.IDLE
            and time.monotonic() < self._used_at + _KEPT_OPEN_S
        )

    def close(self) -> None:
        if self._transport is not None:
            # What is under way has been given up by whoever waited for it.
            self._transport.abort()

    async def request(self, head: h11.Request, body: bytes) -> Answer:
        """Send a request and wait for its answer.

        Raises:
          UnreachableError: the connection broke; the request may have arrived.
          BadAnswerError: the answer is no HTTP, or is too large.
        """
        if self._transport is None or self._transport.is_closing():
            raise UnreachableError("the connection has been closed", was_sent=False)
        self._waiting = asyncio.get_running_loop().create_future()
        self._body.clear()
        parts = [self._http.send(head), self._http.send(h11.Data(data=body))]
        parts.append(self._http.send(h11.EndOfMessage()))
        self._transport.write(b"".join(part for part in parts if part))
        try:
            return await self._waiting
        finally:
            self._waiting = None
            self._used_at = time.monotonic()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._http.receive_data(data)
        self._read()

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        if self._waiting is None or self._waiting.done():
            return
        if error is None:
            # A body without a length ends where the connection does.
            self._http.receive_data(b"")
            self._read()
        self._failed(UnreachableError(f"the connection broke: {error or 'closed'}"))

    def _read(self) -> None:
        try:
            while True:
                event = self._http.next_event()
                if isinstance(event, h11.Response):
                    self._status = event.status_code
                elif isinstance(event, h11.Data):
                    self._body += event.data
                    if len(self._body) > MAX_ANSWER_BYTES:
                        raise BadAnswerError(f"it is larger than {MAX_ANSWER_BYTES} bytes")
                elif isinstance(event, h11.EndOfMessage):
                    self._answered()
                elif not isinstance(event, h11.InformationalResponse):
                    return  # there is no more yet
        except h11.RemoteProtocolError as error:
            if self._transport is not None:
                self._failed(BadAnswerError(f"it is no HTTP: {error}"))
        except BadAnswerError as error:
            self._failed(error)

    def _answered(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result((self._status, bytes(self._body)))
        if self._http.our_state is h11.DONE and self._http.their_state is h11.DONE:
            self._http.start_next_cycle()

    def _failed(self, error: Exception) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(error)
        self.close()
