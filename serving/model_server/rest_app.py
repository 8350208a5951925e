"""The REST API as an ASGI application."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from typing import Any
from urllib.parse import unquote

import orjson
from google.protobuf import json_format
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from tensorflow_serving.apis import get_model_metadata_pb2

from serving.model_server.backend import (
    SIGNATURE_DEF,
    Backend,
    Outputs,
    PredictCall,
    signature_inputs,
)
from serving.model_server.errors import ServingError, invalid_argument
from serving.model_server.gzip_body import gunzip
from serving.model_server.json_body import parse_object
from serving.model_server.model_version import ModelSpec
from serving.model_server.predict_messages import predict_request, predict_response
from serving.model_server.request_log import Answered, Messages
from serving.model_server.rest_request import Format, predict_body, signature_name
from serving.model_server.rest_response import predict_answer
from serving.model_server.saved_model import DEFAULT_SIGNATURE
from serving.model_server.workers import Waiting
from serving.protocol.statuses import Code

_LOG = logging.getLogger(__name__)

_VERSION = r"(?:/versions/(?P<version>\d+)|/labels/(?P<label>[^/:]+))?"
_ANY_API = re.compile(r"/v1/.*", re.IGNORECASE | re.DOTALL)
_POST = re.compile(
    rf"/v1/models/(?P<name>[^/:]+){_VERSION}:(?P<method>(?-i:classify|regress|predict))",
    re.IGNORECASE,
)
_GET = re.compile(
    rf"/v1/models(?:/(?P<name>[^/:]+))?{_VERSION}(?P<metadata>/metadata)?", re.IGNORECASE
)
_NOT_FOUND_PAGE = (
    "<HTML><HEAD>\n<TITLE>404 Not Found</TITLE>\n</HEAD><BODY>\n"
    "<H1>Not Found</H1>\n</BODY></HTML>\n"
)
_CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "POST, GET",
    "Access-Control-Allow-Headers": "Content-Type",
}


class RestApp:
    """TensorFlow Serving's REST API: predict, metadata and model status."""

    def __init__(
        self,
        backend: Backend,
        metrics_path: str | None,
        timeout_ms: int,
        client_timeout_s: float,
        cors: bool,
    ) -> None:
        """
        Args:
          metrics_path: path of the Prometheus metrics; None: no metrics.
          timeout_ms: time limit for TensorFlow to compute a request.
          client_timeout_s: time limit for a client to send its body.
          cors: whether to send CORS headers.
        """
        self._backend = backend
        self._metrics_path = metrics_path
        self._timeout_ms = timeout_ms
        self._client_timeout_s = client_timeout_s
        self._headers = _CORS if cors else {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        try:
            response = await self._respond(request)
        except ClientDisconnect:
            return  # nobody is there to answer
        await response(scope, receive, send)

    async def _respond(self, request: Request) -> Response:
        # TensorFlow Serving knows no query: what follows a `?` is part of the path.
        query = request.scope["query_string"]
        path = (request.scope["raw_path"] + (b"?" + query if query else b"")).decode("latin-1")
        if self._metrics_path is not None and path == self._metrics_path:
            return Response(self._backend.metrics.page(), media_type="text/plain")
        if not _ANY_API.fullmatch(path):
            return Response(_NOT_FOUND_PAGE, status_code=404, headers=_HTML)
        try:
            return self._json(await self._handle(request, path))
        except ServingError as error:
            body = orjson.dumps({"error": _writable(error.message)})
            return self._json(body, error.http_status)
        except ClientDisconnect:
            raise
        except Exception as error:
            _LOG.exception("A request failed unexpectedly")
            body = orjson.dumps({"error": f"{type(error).__name__}: {_writable(str(error))}"})
            return self._json(body, 500)

    def _json(self, body: bytes, status: int = 200) -> Response:
        headers = {"Content-Type": "application/json", **self._headers}
        if status in (408, 413):
            headers["Connection"] = "close"  # the rest of the body is not wanted
        return Response(body, status_code=status, headers=headers)

    async def _handle(self, request: Request, path: str) -> bytes:
        if request.method == "OPTIONS":
            if re.match(r"https?://", request.headers.get("origin", "")):
                return b""
            raise ServingError(
                Code.FAILED_PRECONDITION, "Origin header is missing in CORS preflight"
            )
        pattern = {"POST": _POST, "GET": _GET}.get(request.method)
        match = pattern.fullmatch(path) if pattern else None
        if match is None:
            raise invalid_argument(f"Malformed request: {request.method} {path}")
        spec = _model_spec(match)
        if request.method == "GET":
            with self._backend.counted(spec.name, "", "REST"):
                return self._describe(spec, match["metadata"] is not None)
        with self._backend.counted(spec.name, match["method"], "REST"):
            if match["method"] != "predict":
                raise ServingError(
                    Code.UNIMPLEMENTED,
                    f"This server does not implement {match['method']}. Use predict.",
                )
            body = await self._read_body(request)
            if request.headers.get("content-encoding") == "gzip":
                body = gunzip(body, self._backend.max_request_bytes)
            work = self._backend.workers.run(self._predict, spec, body)
            return await _unless_disconnected(request, work)

    def _describe(self, spec: ModelSpec, metadata: bool) -> bytes:
        if not spec.name:
            raise invalid_argument("Missing model name in request.")
        if metadata:
            return _metadata_json(self._backend.metadata(spec, [SIGNATURE_DEF]))
        return _proto_json(self._backend.status(spec))

    def _predict(self, spec: ModelSpec, body: bytes) -> bytes | Waiting[bytes]:
        document = parse_object(body)
        signature = signature_name(document)
        backend = self._backend
        with ExitStack() as held:
            servable = held.enter_context(
                backend.manager.acquire(spec.name, spec.version, spec.label)
            )
            parsed = predict_body(document, signature_inputs(servable, signature))
            call = PredictCall(servable, signature, parsed.inputs, timeout_ms=self._timeout_ms)

            return backend.predict(
                held, call, self._finish(spec, call, len(body), parsed.format)
            )

    def _finish(
        self, spec: ModelSpec, call: PredictCall, body_bytes: int, layout: Format
    ) -> Callable[[Outputs], bytes]:
        """What makes the JSON text of a call's outputs, and logs the request."""
        answered_by = call.servable.spec  # the model itself must not live as long as a log
        name, inputs = call.signature_name, call.inputs
        log = self._backend.request_log

        def finish(outputs: Outputs) -> bytes:
            answer = predict_answer(outputs, layout)
            if log.samples(answered_by.name):
                signature = name or DEFAULT_SIGNATURE

                def messages() -> Messages:
                    return (
                        predict_request(spec, name, inputs),
                        predict_response(answered_by, signature, outputs, as_content=False),
                    )

                log.add(Answered(answered_by.name, body_bytes + len(answer), messages))
            return answer

        return finish

    async def _read_body(self, request: Request) -> bytes:
        """The whole body. What is too much is read and dropped, so that the client, which
        is still sending, gets to see the answer."""
        limit = self._backend.max_request_bytes
        chunks: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(self._client_timeout_s):
                async for chunk in request.stream():
                    size += len(chunk)
                    if size > limit:
                        chunks.clear()
                    else:
                        chunks.append(chunk)
        except TimeoutError:
            raise ServingError(
                Code.DEADLINE_EXCEEDED,
                f"The request's body did not arrive within {self._client_timeout_s:g} s "
                f"(--client_timeout_in_ms). Received: {size} bytes of it.",
                http_status=408,
            ) from None
        if size > limit:
            raise ServingError(
                Code.INVALID_ARGUMENT,
                f"The request's body has {size} bytes. Expected: at most {limit} "
                "(--max_request_bytes). Send fewer instances at a time.",
                http_status=413,
            )
        return b"".join(chunks)


_HTML = {"Content-Type": "text/html"}


def _writable(message: str) -> str:
    """A message that quotes bytes which are not UTF-8, made fit for JSON."""
    return message.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _model_spec(match: re.Match[str]) -> ModelSpec:
    version = match["version"]
    if version is not None and int(version) >= 2**63:
        raise invalid_argument(f"Failed to convert version: {version} to numeric.")
    label = match["label"]
    return ModelSpec(
        name=unquote(match["name"] or ""),
        version=None if version is None else int(version),
        label=None if label is None else unquote(label),
    )


async def _unless_disconnected(request: Request, work: Awaitable[bytes]) -> bytes:
    """The result of some work, given up when the client goes away while it waits."""
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_disconnected(request.receive))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            task.cancel()
            raise ClientDisconnect()
        return task.result()
    finally:
        gone.cancel()


async def _disconnected(receive: Callable[[], Awaitable[Any]]) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _proto_json(message: Any) -> bytes:
    return orjson.dumps(
        json_format.MessageToDict(
            message,
            preserving_proto_field_name=True,
            always_print_fields_with_no_presence=True,
        )
    )


def _metadata_json(response: get_model_metadata_pb2.GetModelMetadataResponse) -> bytes:
    signatures = get_model_metadata_pb2.SignatureDefMap()
    response.metadata[SIGNATURE_DEF].Unpack(signatures)
    return (
        b'{"model_spec":'
        + _proto_json(response.model_spec)
        + b',"metadata":{"signature_def":'
        + _proto_json(signatures)
        + b"}}"
    )
