"""Connections to one model server that are kept open from request to request."""

from __future__ import annotations

import asyncio
import ssl
from urllib.parse import urlsplit

import h11

from serving.client.errors import UnreachableError
from serving.gateway.backend.http_connection import Answer, HttpConnection
from serving.gateway.backend.server import CONNECT_TIMEOUT_S


class HttpPool:
    """As many connections as are needed at a time, up to a limit."""

    def __init__(self, url: str, connections: int) -> None:
        """
        Args:
          url: ``http://host:port`` or ``https://host:port``; a path comes before every target.
          connections: at a time; further requests wait for one.
        """
        parts = urlsplit(url)
        self._host = parts.hostname or ""
        self._port = parts.port or (443 if parts.scheme == "https" else 80)
        self._ssl = ssl.create_default_context() if parts.scheme == "https" else None
        self._prefix = parts.path.rstrip("/")
        self._headers = [
            ("Host", parts.netloc),
            ("Accept", "application/json"),
            ("Content-Type", "application/json"),
        ]
        self._room = asyncio.Semaphore(connections)
        self._idle: list[HttpConnection] = []

    def close(self) -> None:
        while self._idle:
            self._idle.pop().close()

    async def request(self, method: str, target: str, body: bytes = b"") -> Answer:
        """Send a request and wait for its answer, for as long as it takes.

        Raises:
          UnreachableError, BadAnswerError: see `HttpConnection`.
        """
        length = ("Content-Length", str(len(body)))
        head = h11.Request(
            method=method, target=self._prefix + target, headers=[*self._headers, length]
        )
        async with self._room:
            connection = self._kept() or await self._connect()
            try:
                return await connection.request(head, body)
            finally:
                # Given up, broken or told to close, it is of no more use.
                if connection.is_reusable:
                    self._idle.append(connection)
                else:
                    connection.close()

    def _kept(self) -> HttpConnection | None:
        # The last one used: the others can grow old, and so there are no more than are needed.
        while self._idle:
            connection = self._idle.pop()
            if connection.is_reusable:
                return connection
            connection.close()
        return None

    async def _connect(self) -> HttpConnection:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                _, connection = await loop.create_connection(
                    HttpConnection, self._host, self._port, ssl=self._ssl
                )
        except TimeoutError:
            what = f"it took no connection in {CONNECT_TIMEOUT_S:g} s"
            raise UnreachableError(what, was_sent=False) from None
        except OSError as error:
            what = f"{type(error).__name__}: {error}"
            raise UnreachableError(what, was_sent=False) from None
        return connection
