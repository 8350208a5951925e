"""The model servers behind the gateway: which version answers, and its answers, over REST."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import orjson

from serving.gateway.errors import GatewayError, bad_request, overloaded
from tokenizer.contract import (
    COUNT_OUTPUTS,
    INPUT_MAX_OUTPUT_TOKENS,
    INPUT_TEXT,
    SIGNATURE_COUNT_TOKENS,
    SIGNATURE_SUMMARIZE,
    ContractError,
    MeteredSummary,
    MeteringRecord,
)

VERSION_FOR_S: Final = 1.0
"""How long a label's version is believed before it is asked for again."""


@dataclass(frozen=True, slots=True)
class ServedVersion:
    """A version of a model, and how it counts."""

    model: str
    number: int
    metering: MeteringRecord


class VersionGoneError(Exception):
    """The version has been unloaded. Nothing was computed."""


class ServedModel:
    """One model, on any number of servers that serve the same versions.

    A request names the version that it is for, so that the counts are known to be that
    version's, in the moment in which a label moves too.
    """

    def __init__(
        self,
        name: str,
        urls: Sequence[str],
        model_dir: Path,
        label: str | None = None,
        timeout_s: float = 60.0,
        connections: int = 100,
    ) -> None:
        """
        Args:
          urls: REST addresses of the servers, such as ``http://127.0.0.1:8501``.
          model_dir: folder of the version folders, whose ``metering.json`` is read.
          label: the version that clients are answered by; None for the newest.
          connections: to all servers, kept open.
        """
        self.name = name
        self._model_dir = model_dir
        self._path = f"/v1/models/{name}"
        self._labelled = f"{self._path}/labels/{label}" if label else self._path
        limits = httpx.Limits(
            max_connections=connections, max_keepalive_connections=connections
        )
        self._http = httpx.AsyncClient(timeout=timeout_s, limits=limits, trust_env=False)
        self._servers = [_Server(url.rstrip("/")) for url in urls]
        self._records: dict[int, MeteringRecord] = {}
        self._version: ServedVersion | None = None
        self._asked_at = 0.0
        self._asking = asyncio.Lock()

    async def close(self) -> None:
        await self._http.aclose()

    async def version(self, fresh: bool = False) -> ServedVersion:
        """The version that answers now.

        Args:
          fresh: ask for it even if it has just been asked for.

        Raises:
          GatewayError: no server says.
        """
        async with self._asking:
            now = time.monotonic()
            if self._version is None or fresh or now > self._asked_at + VERSION_FOR_S:
                try:
                    document = await self._ask("GET", f"{self._labelled}/metadata")
                except VersionGoneError as error:
                    raise overloaded(f"No version of the model answers now: {error}") from None
                number = int(document["model_spec"]["version"])
                self._version = ServedVersion(self.name, number, await self._record(number))
                self._asked_at = now
            return self._version

    async def summarize(
        self, version: ServedVersion, texts: Sequence[str], limit: int
    ) -> list[MeteredSummary]:
        """Summarise texts in one request.

        Args:
          limit: tokens to write for each at most; 0 for the model's own limit.

        Raises:
          VersionGoneError: the version has been unloaded.
          GatewayError: no server answers, or the answer is not a metered model's.
        """
        inputs: dict[str, list[Any]] = {
            INPUT_TEXT: list(texts),
            INPUT_MAX_OUTPUT_TOKENS: [limit] * len(texts),
        }
        rows = await self._rows(version, SIGNATURE_SUMMARIZE, inputs)
        try:
            return [MeteredSummary.from_row(row) for row in rows]
        except ContractError as error:
            raise _broken(str(error)) from None

    async def count(
        self, version: ServedVersion, texts: Sequence[str]
    ) -> list[tuple[int, int]]:
        """Input and truncated tokens of texts, in one request; see `summarize`."""
        rows = await self._rows(version, SIGNATURE_COUNT_TOKENS, {INPUT_TEXT: list(texts)})
        try:
            return [(row[COUNT_OUTPUTS[0]], row[COUNT_OUTPUTS[1]]) for row in rows]
        except KeyError as error:
            raise _broken(f"the answer lacks {error}") from None

    async def _rows(
        self, version: ServedVersion, signature: str, inputs: dict[str, list[Any]]
    ) -> list[dict[str, Any]]:
        body = orjson.dumps({"signature_name": signature, "inputs": inputs})
        path = f"{self._path}/versions/{version.number}:predict"
        outputs = (await self._ask("POST", path, body)).get("outputs")
        count = len(inputs[INPUT_TEXT])
        if not isinstance(outputs, dict) or any(len(v) != count for v in outputs.values()):
            raise _broken("it has no row for each text")
        return [{name: outputs[name][row] for name in outputs} for row in range(count)]

    async def _ask(self, method: str, path: str, body: bytes | None = None) -> dict[str, Any]:
        """Ask the server with the least to do, and the next one if it cannot be reached."""
        reason = "there is no server"
        for server in sorted(self._servers, key=lambda server: server.load()):
            server.under_way += 1
            try:
                answer = await self._http.request(method, server.url + path, content=body)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                server.failed_at = time.monotonic()
                reason = f"{type(error).__name__}: {error}"
                continue  # it was not sent, so nothing can be computed twice
            except httpx.TimeoutException:
                raise GatewayError(
                    504, "The model took too long.", "server_error", "model_timeout"
                ) from None
            except httpx.HTTPError as error:
                what = f"The model server gave no answer: {type(error).__name__}: {error}"
                raise GatewayError(502, what, "server_error", "no_answer") from None
            finally:
                server.under_way -= 1
            return _document(answer)
        raise overloaded(f"No model server can be reached ({reason}). Try again in a moment.")

    async def _record(self, number: int) -> MeteringRecord:
        if number not in self._records:
            try:
                self._records[number] = await asyncio.to_thread(
                    MeteringRecord.load, self._model_dir / str(number)
                )
            except (ContractError, OSError) as error:
                raise _broken(str(error)) from None
        return self._records[number]


class _Server:
    """One server, and how it has been doing."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.under_way = 0
        self.failed_at = float("-inf")

    def load(self) -> tuple[bool, int]:
        """What failed a moment ago comes last, then what has more to do."""
        return time.monotonic() < self.failed_at + 5.0, self.under_way


def _document(answer: httpx.Response) -> dict[str, Any]:
    try:
        document = orjson.loads(answer.content)
    except orjson.JSONDecodeError:
        document = None
    if not isinstance(document, dict):
        raise _broken(f"HTTP {answer.status_code}, and no JSON object")
    if answer.status_code == 200:
        return document
    message = str(document.get("error", ""))
    if answer.status_code == 404:
        raise VersionGoneError(message)
    if answer.status_code in (429, 503):
        raise overloaded("The model is busy. Try again in a moment.")
    if answer.status_code == 400:
        raise bad_request(f"The model refuses the request: {message}")
    raise _broken(f"HTTP {answer.status_code}: {message}")


def _broken(what: str) -> GatewayError:
    return GatewayError(
        502,
        f"The model server's answer is not one of a metered model: {what}",
        "server_error",
        "bad_answer",
    )
