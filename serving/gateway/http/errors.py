"""Errors as HTTP responses, in OpenAI's shape, whoever raised them."""

from __future__ import annotations

from typing import Any

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from serving.gateway.errors import GatewayError
from serving.gateway.http.render import quota_headers
from serving.gateway.ops.request_record import current


def error_response(error: GatewayError) -> Response:
    """The response that a `GatewayError` stands for."""
    headers = {**error.headers, **quota_headers(error.quota)}
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(error.retry_after_s)
    body: dict[str, Any] = {
        "error": {
            "message": error.message,
            "type": error.type,
            "param": error.param,
            "code": error.code,
        }
    }
    return Response(orjson.dumps(body), error.status, headers, media_type="application/json")


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, GatewayError)
    current().refused(error.code or error.type, error.limit)
    return error_response(error)


def exception_handlers(where_to_look: str) -> dict[Any, Any]:
    """For Starlette. Any other exception ends in `serving.gateway.http.telemetry`.

    Args:
      where_to_look: for whoever asks for a path that the address does not have, or by a method
        that it does not have.
    """

    async def no_route(request: Request, error: Exception) -> Response:
        """What Starlette would say in its own shape."""
        assert isinstance(error, HTTPException)
        response = error_response(
            GatewayError(
                error.status_code,
                f"{error.detail}: {request.method[:20]} {request.url.path[:200]}. "
                f"{where_to_look}",
                code="no_such_path" if error.status_code == 404 else None,
            )
        )
        response.headers.update(error.headers or {})
        return response

    return {GatewayError: _refused, HTTPException: no_route}
