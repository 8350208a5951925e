"""HTTP connections that cannot starve each other, and requests that have one reading only.

Uvicorn alone lets a client hold a connection indefinitely without finishing its request's
headers, and responds with 503 to all clients once there are too many connections. Here headers
have a deadline from their first byte on, and the connection that has been idle longest is
closed to make room, unless it was used a moment ago. A connection that has sent nothing yet is
idle as one between two requests: load balancers and browsers open some before they have a
request, and send it at any time that a kept connection may wait.

What two parsers could read in two ways is refused, so that no proxy in front can be made to
take one request for two: most of it by llhttp, the parser of Node.js, the rest here.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final, cast
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

# Idle connections of polite clients are kept; room is made when it is needed.
KEEP_ALIVE_S = 75
POLITE_IDLE_S = 5

MAX_HEAD_BYTES: Final = 16 * 1024


class NotReadableError(ValueError):
    """What was received is HTTP, but none that a server may act on."""


class _InOnePiece:
    """What a response is written to: its head goes out with the beginning of its body, in one
    packet that the client wakes up for."""

    def __init__(self, transport: asyncio.Transport, cycle: RequestResponseCycle) -> None:
        self._transport = transport
        self._cycle = cycle
        self._is_head = cycle.scope["method"] == "HEAD"
        self._head: bytes | None = None  # None: it is not written yet

    def write(self, data: bytes) -> None:
        # Uvicorn writes a body that is empty, too; but none to HEAD.
        if self._head is None and self._cycle.response_started and not self._is_head:
            self._head = data
            return
        if self._head:
            data, self._head = self._head + data, b""
        self._transport.write(data)

    def close(self) -> None:
        if self._head:
            self.write(b"")
        self._transport.close()

    def is_closing(self) -> bool:
        return self._transport.is_closing()


def bounded_protocol(max_connections: int, client_timeout_s: float) -> type[HttpToolsProtocol]:
    """Return a protocol class for uvicorn with these limits.

    Args:
      client_timeout_s: of a request's headers, from their first byte on. How long a connection
        may be idle, before its first request too, is uvicorn's ``timeout_keep_alive``.
    """

    class BoundedProtocol(HttpToolsProtocol):
        _idle_since = 0.0
        _deadline: asyncio.TimerHandle | None = None
        _in_request = False  # whose end has not been received
        _in_head = False
        _head_bytes = 0  # in its fields that have ended
        _open_bytes = 0  # received since it began, with nothing else among them
        _repeats_head = False  # of a request that has been read
        _takes_more = True

        @property
        def _idle(self) -> bool:
            return self.cycle is None or self.cycle.response_complete

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._idle_since = self.loop.time()
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )
            if len(self.connections) > max_connections:
                self._make_room()

        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            self._unset_keepalive_if_required()
            self._cancel_deadline()

        def data_received(self, data: bytes) -> None:
            if not self._takes_more:
                return
            if self._idle and self._deadline is None:
                self._set_deadline()  # a request has begun
            self._parse(data)
            if not self._idle or not self._in_request:
                self._cancel_deadline()

        def _parse(self, data: bytes) -> None:
            self._open_bytes += len(data)
            unread = memoryview(data)
            try:
                while unread:
                    unread = self._read(unread)
                if self._in_head:
                    self._bound_head(self._open_bytes)
            except httptools.HttpParserCallbackError as error:
                why = error.__context__
                if not isinstance(why, NotReadableError):
                    why = NotReadableError("Its target cannot be read.")
                self._refuse(str(why))
            except httptools.HttpParserError as error:
                self._refuse(f"{error}.")
            except NotReadableError as error:
                self._refuse(str(error))

        def on_message_begin(self) -> None:
            if self._repeats_head:
                return
            super().on_message_begin()
            self._unset_keepalive_if_required()
            self._in_request = self._in_head = True
            self._head_bytes = self._open_bytes = 0

        def on_url(self, url: bytes) -> None:
            if self._repeats_head:
                return
            super().on_url(url)
            self._head_bytes += len(url)

        def on_header(self, name: bytes, value: bytes) -> None:
            self._head_bytes += len(name) + len(value)
            self._bound_head(self._head_bytes)
            # Else a trailer's: nothing that the head did not say counts.
            if self._in_head and not self._repeats_head:
                super().on_header(name, value)

        def on_headers_complete(self) -> None:
            self._in_head = False
            if self._repeats_head:
                return
            version, given = self.parser.get_http_version(), self.headers
            if version not in ("1.0", "1.1"):
                raise NotReadableError(f"Its version is HTTP/{version}.")
            hosts = [value for name, value in given if name == b"host"]
            if len(hosts) != 1 and (hosts or version == "1.1"):
                raise NotReadableError(
                    f"It has {len(hosts)} Host headers, where one is needed."
                )
            codings = [value.lower() for name, value in given if name == b"transfer-encoding"]
            if codings not in ([], [b"chunked"]):
                raise NotReadableError("It has another Transfer-Encoding than chunked.")
            super().on_headers_complete()
            if b"#" in self.url:  # uvicorn would leave out what follows, as if none had sent it
                path, _, self.scope["query_string"] = self.url.partition(b"?")
                self.scope["raw_path"], self.scope["path"] = path, unquote(path.decode())
            self.cycle.transport = _InOnePiece(self.transport, self.cycle)  # type: ignore[assignment]

        def on_message_complete(self) -> None:
            if self.parser.should_upgrade() and self._framing():
                return  # its body has not been read
            self._in_request = False
            super().on_message_complete()

        def on_response_complete(self) -> None:
            is_last = not self.pipeline
            super().on_response_complete()
            self._idle_since = self.loop.time()
            if is_last and not self._takes_more:
                self.transport.close()

        def _bound_head(self, received: int) -> None:
            if received > MAX_HEAD_BYTES:
                raise NotReadableError(f"Its head has more than {MAX_HEAD_BYTES} bytes.")

        def _framing(self) -> list[bytes]:
            """The lines of the head that say where the body ends; empty where there is none."""
            names = (b"content-length", b"transfer-encoding")
            return [b"%b: %b\r\n" % field for field in self.headers if field[0] in names]

        def _read(self, data: memoryview) -> memoryview:
            """Let the parser read, and return what it has left.

            It leaves what follows the head of a request that asks for another protocol. That
            may be declined, and is: so the rest is HTTP, too (Java's client sends the body at
            once). Another parser reads it, which gets the head again without the question.
            """
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                if self.parser.get_method() == b"CONNECT":
                    self._take_no_more()
                    return data[:0]
                self.parser = httptools.HttpRequestParser(self)
                if framing := self._framing():
                    self._repeats_head = True
                    self.parser.feed_data(b"POST / HTTP/1.1\r\n%b\r\n" % b"".join(framing))
                    self._repeats_head = False
                return data[upgrade.args[0] :]
            return data[:0]

        def _take_no_more(self) -> None:
            """Close the connection after the responses that are under way."""
            self._takes_more = False
            self._cancel_deadline()

        def _refuse(self, why: str) -> None:
            """Refuse the request that is being received, after those before it are answered."""
            self.logger.warning("A request is not valid: %s", why)
            self._take_no_more()
            cycle = self.cycle
            # Its head was read, and its response is under way.
            begun = not self._idle and cycle.more_body
            if begun and self.pipeline:
                self.pipeline.popleft()
            elif begun and cycle.response_started:
                self.transport.close()
            elif begun or self._idle:
                self.send_400_response(f"The request is not valid: {why}")

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
