"""What is around every request: its id, its log line, its metrics, its trace, its admission.

A plain ASGI middleware, the outermost one of ours: an error that nothing else has turned into a
response ends here, so that neither a client nor a log reads what is inside it.
"""

from __future__ import annotations

import logging
import time
from contextlib import nullcontext
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.gateway.admission import Admission
from serving.gateway.draining import Drain
from serving.gateway.errors import GatewayError, overloaded
from serving.gateway.http.errors import error_response
from serving.gateway.ops.logs import StructuredLogger, described
from serving.gateway.ops.metrics import Metrics
from serving.gateway.ops.request_record import RequestRecord, set_current
from serving.gateway.ops.tracing import NO_TRACES, Tracer

_LOG = StructuredLogger(__name__)
_API: Final = "/v1/"
_REQUEST_ID: Final = "X-Request-Id"
_CLIENT_GONE: Final = "client_gone"


class Telemetry:
    """Accompanies the requests of an application."""

    def __init__(
        self,
        app: ASGIApp,
        metrics: Metrics,
        admission: Admission,
        tracer: Tracer = NO_TRACES,
        drain: Drain | None = None,
    ) -> None:
        """
        Args:
          admission: to the API; what it does not admit is rejected with Retry-After.
          drain: once it has begun, each response closes its connection.
        """
        self._drain = Drain() if drain is None else drain
        self._app = app
        self._metrics = metrics
        self._admission = admission
        self._tracer = tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        record = RequestRecord.begin(scope["method"], Headers(scope=scope))
        set_current(record)
        api = scope["path"].startswith(_API)
        started = time.monotonic()

        async def respond(message: Message) -> None:
            if message["type"] == "http.response.start":
                record.status = message["status"]
                headers = MutableHeaders(scope=message)
                headers[_REQUEST_ID] = record.request_id
                if self._drain.begun:
                    headers["Connection"] = "close"
            await send(message)

        entered = api and self._admission.enter()
        shed = api and not entered
        self._metrics.set_under_way(self._admission.under_way)
        try:
            # Nobody wants a trace of each health check.
            with self._tracer.request(record) if api else nullcontext():
                if shed:
                    await _shed(record, scope, receive, respond)
                else:
                    await self._answer(record, scope, receive, respond)
        finally:
            if entered:
                self._admission.leave(record.tenant if record.admitted else None)
            self._metrics.set_under_way(self._admission.under_way)
            self._ended(record, api, time.monotonic() - started)

    async def _answer(
        self, record: RequestRecord, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Let the application respond, or respond that it failed."""
        try:
            await self._app(scope, receive, send)
        except ClientDisconnect:
            # It went away before it had sent its request: there is nobody to answer.
            record.refused(_CLIENT_GONE)
        except Exception as error:  # whatever was not expected
            record.refused("internal")
            _LOG.say(
                logging.ERROR,
                "a request failed",
                request_id=record.request_id,
                exception=described(error),
            )
            if record.status is None:
                fault = GatewayError(
                    500,
                    "The gateway failed. Send the request again with the same idempotency "
                    "key: it is charged once.",
                    "server_error",
                    "internal",
                )
                await error_response(fault)(scope, receive, send)
        finally:
            route = scope.get("route")
            if isinstance(route, Route):
                record.route = route.path

    def _ended(self, record: RequestRecord, api: bool, seconds: float) -> None:
        if not record.error and (record.status is None or record.status >= 400):
            record.error = f"http_{record.status}" if record.status else "no_answer"
        if api:
            self._metrics.ended(record, seconds)
        level = logging.INFO if api else logging.DEBUG
        if record.error != _CLIENT_GONE and (record.status is None or record.status >= 500):
            level = logging.ERROR
        _LOG.say(level, "request", **record.fields(), latency_ms=round(seconds * 1000, 3))


async def _shed(record: RequestRecord, scope: Scope, receive: Receive, send: Send) -> None:
    error = overloaded("The gateway has too many running requests. Try again in a moment.")
    record.refused(str(error.code), "shed")
    await error_response(error)(scope, receive, send)
