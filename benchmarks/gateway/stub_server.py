"""A stub of a model server that is as cheap as possible: no model computes, it only waits.

    python -m benchmarks.gateway.stub_server PORT

``POST /delay`` with a number of milliseconds sets how long each answer takes from then on.
"""

from __future__ import annotations

import asyncio
import re
import sys
from typing import Final

from benchmarks.gateway.stub_answers import DESCRIPTIONS, ROUTES

_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_delay_s = 0.0


class _Connection(asyncio.Protocol):
    """One connection, kept open. A client sends its next request after an answer."""

    def __init__(self) -> None:
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, rest = self._received.partition(b"\r\n\r\n")
        if not end:
            return
        length = _LENGTH.search(head)
        expected = int(length[1]) if length else 0
        if len(rest) < expected:
            return
        self._received = b""
        self._asked(head.split(b" ", 2)[1], rest)

    def _asked(self, path: bytes, body: bytes) -> None:
        global _delay_s
        if path in DESCRIPTIONS:
            self._answer(b"200 OK", DESCRIPTIONS[path])
        elif path == b"/delay":
            _delay_s = float(body) / 1e3
            self._answer(b"200 OK", b"{}")
        elif path not in ROUTES:
            self._answer(b"404 Not Found", b'{"error": "the stub knows no such path"}')
        elif _delay_s:
            loop = asyncio.get_running_loop()
            loop.call_later(_delay_s, self._answer, b"200 OK", ROUTES[path](body))
        else:
            self._answer(b"200 OK", ROUTES[path](body))

    def _answer(self, status: bytes, body: bytes) -> None:
        head = b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        self._transport.write(head % (status, len(body)) + body)


async def _serve(port: int) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(_Connection, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1])))
