"""An HTTP/1.1 connection for measuring: what it costs should be the server's, not its own.

It reads what the model server sends, bodies with their length given, and no other answers.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class HttpConnection:
    """One connection, kept open."""

    def __init__(self, host: str, port: int, headers: Mapping[str, str] | None = None) -> None:
        """
        Args:
          headers: sent with each request, beside those that it must have.
        """
        self._host, self._port = host, port
        self._headers = "".join(f"{name}: {text}\r\n" for name, text in (headers or {}).items())
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def post(self, path: str, body: bytes) -> bytes:
        """The body of the answer.

        Raises:
          RuntimeError: the answer is not 200, or does not say how long it is.
        """
        if self._streams is None:
            self._streams = await asyncio.open_connection(self._host, self._port)
        reader, writer = self._streams
        head = (
            f"POST {path} HTTP/1.1\r\nHost: {self._host}:{self._port}\r\n"
            f"Content-Type: application/json\r\n{self._headers}"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        writer.write(head.encode("ascii") + body)
        answered = await reader.readuntil(b"\r\n\r\n")
        length = _LENGTH.search(answered)
        if length is None:
            raise RuntimeError(
                f"{path}: an answer of unknown length. Expected: Content-Length. Received: "
                f"{answered!r:.300}"
            )
        content = await reader.readexactly(int(length[1]))
        if not answered.startswith(b"HTTP/1.1 200 "):
            raise RuntimeError(
                f"{path} was refused. Expected: status 200. Received: {answered[:20]!r}, "
                f"{content!r:.300}"
            )
        return content

    async def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            await self._streams[1].wait_closed()
