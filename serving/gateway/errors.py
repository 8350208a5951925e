"""What a client is told when it gets no answer, in OpenAI's shape."""

from __future__ import annotations

from typing import Any

import orjson
from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

from serving.gateway.ledger_outages import OUTAGES, is_outage


class GatewayError(Exception):
    """An answer that is an error.

    Attributes:
      status: of HTTP.
      type, code: OpenAI's kind of error, and which one.
      param: the field of the request that is wrong.
      retry_after_s: after how many seconds another attempt makes sense.
      limit: the limit that was hit, for those who watch; empty for none.
    """

    def __init__(
        self,
        status: int,
        message: str,
        type: str = "invalid_request_error",
        code: str | None = None,
        param: str | None = None,
        retry_after_s: int | None = None,
        limit: str = "",
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.type = type
        self.code = code
        self.param = param
        self.retry_after_s = retry_after_s
        self.limit = limit

    def response(self) -> Response:
        headers = {}
        if self.retry_after_s is not None:
            headers["Retry-After"] = str(self.retry_after_s)
        body: dict[str, Any] = {
            "error": {
                "message": self.message,
                "type": self.type,
                "param": self.param,
                "code": self.code,
            }
        }
        return Response(orjson.dumps(body), self.status, headers, media_type="application/json")


def bad_request(message: str, param: str | None = None) -> GatewayError:
    return GatewayError(400, message, param=param)


def overloaded(message: str, retry_after_s: int = 1) -> GatewayError:
    return GatewayError(503, message, "server_error", "overloaded", retry_after_s=retry_after_s)


def answer_every_error(app: FastAPI) -> None:
    """Let an application answer in OpenAI's shape where a framework would in its own."""

    async def no_route(request: Request, error: Exception) -> Response:
        if not isinstance(error, HTTPException):
            raise error
        response = GatewayError(
            error.status_code,
            f"{error.detail}: {request.method[:20]} {request.url.path[:200]}. All paths are "
            "listed in /openapi.json",
            code="no_such_path" if error.status_code == 404 else None,
        ).response()
        response.headers.update(error.headers or {})
        return response

    async def ledger_is_out(request: Request, error: Exception) -> Response:
        if not is_outage(error):
            raise error
        return overloaded(
            "The ledger cannot be reached. Try again in a moment with the same idempotency "
            "key: the request is charged once."
        ).response()

    for outage in OUTAGES:
        app.add_exception_handler(outage, ledger_is_out)
    app.add_exception_handler(HTTPException, no_route)
