"""A connection over REST, for an event loop: as many sockets as are needed, kept open."""

from __future__ import annotations

import asyncio
import io
import time
from typing import Final, TypeVar

import aiohttp

from serving.protocol import rest_api
from serving.protocol.errors import BadAnswerError, TooSlowError, UnreachableError
from serving.protocol.exchange import CONNECT_TIMEOUT_S, AsyncConnection, Exchange
from serving.protocol.rest_api import HttpAnswer

T = TypeVar("T")

MAX_ANSWER_BYTES: Final = 64 * 1024 * 1024
LARGE_BYTES: Final = 1024 * 1024
# Shorter than servers keep one open: a request must not be sent into a closing connection.
KEPT_OPEN_S: Final = 3.0


class HttpPool(AsyncConnection):
    """As many connections as are needed at a time, up to a limit."""

    api = rest_api

    def __init__(self, url: str, connections: int) -> None:
        """
        Args:
          url: ``http://host:port`` or ``https://host:port``; a path comes before every target.
          connections: at a time; further requests wait for one.
        """
        self._url = url.rstrip("/")
        self._connections = connections
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def ask(self, exchange: Exchange[T], deadline: float) -> T:
        request: rest_api.HttpRequest = exchange.request
        try:
            async with asyncio.timeout(deadline - time.monotonic()):
                answer = await self.request(request.method, request.target, request.body)
        except TimeoutError:
            raise TooSlowError("the deadline has passed") from None
        return exchange.read(answer)

    async def request(self, method: str, target: str, body: bytes = b"") -> HttpAnswer:
        """Send a request and wait for its answer, for as long as it takes.

        Raises:
          UnreachableError: there is no connection, or it broke; then the request may have
            arrived.
          BadAnswerError: the answer is no HTTP, or is too large.
        """
        if self._session is None:  # which needs the loop that runs by now
            self._session = self._new_session()
        try:
            async with self._session.request(
                method, self._url + target, data=_payload(body), allow_redirects=False
            ) as response:
                return response.status, await _bounded(response)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            what = f"{type(error).__name__}: {error}"
            raise UnreachableError(what, was_sent=False) from None
        except aiohttp.ClientResponseError as error:
            raise BadAnswerError(f"it is not valid HTTP: {error.message}") from None
        except aiohttp.ClientError as error:
            raise UnreachableError(f"the connection broke: {error}") from None

    def _new_session(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=self._connections, keepalive_timeout=KEPT_OPEN_S
            ),
            # Who asks has a deadline of its own, over all servers that it asks.
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S),
            headers={"Accept": "application/json", "Content-Type": "application/json"},
            cookie_jar=aiohttp.DummyCookieJar(),
        )


def _payload(body: bytes) -> bytes | io.BytesIO | None:
    """What is sent: a large body piece by piece, so that others get their turn meanwhile."""
    return io.BytesIO(body) if len(body) > LARGE_BYTES else body or None


async def _bounded(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for piece in response.content.iter_any():
        body += piece
        if len(body) > MAX_ANSWER_BYTES:
            raise BadAnswerError(f"it is larger than {MAX_ANSWER_BYTES} bytes")
    return bytes(body)
