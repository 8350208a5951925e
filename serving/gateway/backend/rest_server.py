"""A model server asked over REST, by connections that are kept open."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Final

import httpx
import orjson

from serving.client.errors import BadAnswerError, RefusedError, UnreachableError
from serving.gateway.backend.server import CONNECT_TIMEOUT_S, Columns, ModelServer

# TF Serving's own table of statuses, read backwards; what is not in it is told by its number.
_CODES: Final = {
    400: "INVALID_ARGUMENT",
    404: "NOT_FOUND",
    408: "DEADLINE_EXCEEDED",
    413: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
# Shorter than servers keep one open: a request must not be sent into a closing connection.
_KEPT_OPEN_S: Final = 3.0


class RestServer(ModelServer):
    """Asks over HTTP/1.1."""

    def __init__(self, url: str, model: str, connections: int) -> None:
        """
        Args:
          url: such as ``http://127.0.0.1:8501``.
          connections: at a time; further requests wait for one.
        """
        super().__init__(url, model)
        self._base = f"{url.rstrip('/')}/v1/models/{model}"
        # Deadlines are of the whole request, and httpx's are of each step: they are ours.
        self._http = httpx.AsyncClient(
            timeout=httpx.Timeout(None, connect=CONNECT_TIMEOUT_S),
            limits=httpx.Limits(
                max_connections=connections,
                max_keepalive_connections=connections,
                keepalive_expiry=_KEPT_OPEN_S,
            ),
            trust_env=False,
        )

    async def close(self) -> None:
        await self._http.aclose()

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
            raise BadAnswerError(f"no status of a model: {error}") from None

    async def _labelled(self, label: str, deadline: float) -> int:
        document = await self._ask("GET", f"/labels/{label}/metadata", deadline)
        try:
            return int(document["model_spec"]["version"])
        except (KeyError, TypeError, ValueError) as error:
            raise BadAnswerError(f"no metadata of a model: {error}") from None

    async def _ask(
        self, method: str, path: str, deadline: float, body: bytes | None = None
    ) -> dict[str, Any]:
        try:
            async with asyncio.timeout(deadline - time.monotonic()):
                answer = await self._http.request(method, self._base + path, content=body)
        except httpx.HTTPError as error:
            sent = not isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
            raise UnreachableError(f"{type(error).__name__}: {error}", was_sent=sent) from None
        try:
            document = orjson.loads(answer.content)
        except orjson.JSONDecodeError:
            document = None
        if answer.status_code != 200:
            said = document.get("error") if isinstance(document, dict) else None
            code = _CODES.get(answer.status_code, f"HTTP {answer.status_code}")
            raise RefusedError(code, str(said or answer.reason_phrase))
        if not isinstance(document, dict):
            raise BadAnswerError("HTTP 200, and no JSON object")
        return document
