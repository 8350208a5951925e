"""A model server asked over REST, by connections that are kept open."""

from __future__ import annotations

import asyncio
import io
import time
from typing import Any, Final
from urllib.parse import quote

import aiohttp
import orjson

from serving.gateway.backends.server import CONNECT_TIMEOUT_S, Columns, ModelServer
from serving.protocol.errors import (
    BadAnswerError,
    RefusedError,
    TooSlowError,
    UnreachableError,
)
from serving.protocol.statuses import Code

MAX_ANSWER_BYTES: Final = 64 * 1024 * 1024
LARGE_BYTES: Final = 1024 * 1024
# Shorter than servers keep one open: a request must not be sent into a closing connection.
KEPT_OPEN_S: Final = 3.0

Answer = tuple[int, bytes]
"""The status, and the body."""


class RestServer(ModelServer):
    """Asks over HTTP/1.1."""

    def __init__(self, url: str, model: str, connections: int) -> None:
        """
        Args:
          url: such as ``http://127.0.0.1:8501``.
          connections: at a time; further requests wait for one.
        """
        super().__init__(url, model)
        self._path = f"/v1/models/{quote(model, safe='')}"
        self._pool = HttpPool(url, connections)

    async def close(self) -> None:
        await self._pool.close()

    async def predict(
        self, version: int, signature: str, inputs: Columns, deadline: float
    ) -> Columns:
        body = orjson.dumps({"signature_name": signature, "inputs": inputs})
        document = await self._ask("POST", f"/versions/{version}:predict", deadline, body)
        outputs = document.get("outputs")
        if not isinstance(outputs, dict):
            raise BadAnswerError(f"no named outputs. Received: {sorted(document)}")
        return outputs

    async def _available(self, deadline: float) -> frozenset[int]:
        document = await self._ask("GET", "", deadline)
        try:
            return frozenset(
                int(entry["version"])
                for entry in document["model_version_status"]
                if entry["state"] == "AVAILABLE"
            )
        except (KeyError, TypeError, ValueError) as error:
            raise BadAnswerError(f"it is not the status of a model: {error}") from None

    async def _labelled(self, label: str, deadline: float) -> int:
        document = await self._ask("GET", f"/labels/{quote(label, safe='')}/metadata", deadline)
        try:
            return int(document["model_spec"]["version"])
        except (KeyError, TypeError, ValueError) as error:
            raise BadAnswerError(f"it is not the metadata of a model: {error}") from None

    async def _ask(
        self, method: str, path: str, deadline: float, body: bytes = b""
    ) -> dict[str, Any]:
        try:
            async with asyncio.timeout(deadline - time.monotonic()):
                status, answer = await self._pool.request(method, self._path + path, body)
        except TimeoutError:
            raise TooSlowError("the deadline has passed") from None
        try:
            document = orjson.loads(answer)
        except orjson.JSONDecodeError:
            document = None
        if status != 200:
            said = document.get("error") if isinstance(document, dict) else None
            received = "" if said else answer[:200].decode(errors="replace")
            raise RefusedError(
                Code.of_http(status), str(said or f"HTTP {status}"), received=received
            )
        if not isinstance(document, dict):
            raise BadAnswerError("HTTP 200, but not a JSON object")
        return document


class HttpPool:
    """As many connections as are needed at a time, up to a limit."""

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

    async def request(self, method: str, target: str, body: bytes = b"") -> Answer:
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
