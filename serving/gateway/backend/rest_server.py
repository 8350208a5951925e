"""A model server asked over REST, by connections that are kept open."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Final
from urllib.parse import quote

import orjson

from serving.client.errors import BadAnswerError, RefusedError
from serving.gateway.backend.http_pool import HttpPool
from serving.gateway.backend.server import Columns, ModelServer

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
        async with asyncio.timeout(deadline - time.monotonic()):
            status, answer = await self._pool.request(method, self._path + path, body)
        try:
            document = orjson.loads(answer)
        except orjson.JSONDecodeError:
            document = None
        if status != 200:
            said = document.get("error") if isinstance(document, dict) else None
            code = _CODES.get(status, f"HTTP {status}")
            raise RefusedError(code, str(said or f"HTTP {status}"))
        if not isinstance(document, dict):
            raise BadAnswerError("HTTP 200, but not a JSON object")
        return document
