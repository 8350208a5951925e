"""What a client gets instead of an answer, before it is put into HTTP (`http/errors.py`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from serving.gateway.ports import NO_QUOTA, Quota

NO_HEADERS: Final[Mapping[str, str]] = {}


class GatewayError(Exception):
    """A request that is not answered.

    Attributes:
      status: of HTTP.
      message: what was wrong, what was expected, what was received, what to do.
      type, code: OpenAI's kind of error, and which one.
      param: the field of the request that is wrong.
      retry_after_s: number of seconds after which another attempt makes sense.
      limit: the limit that was reached, for metrics and logs; empty for none.
      headers: further headers of the response.
      quota: what the tenant has left, where it is known.
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
        headers: Mapping[str, str] = NO_HEADERS,
        quota: Quota = NO_QUOTA,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.type = type
        self.code = code
        self.param = param
        self.retry_after_s = retry_after_s
        self.limit = limit
        self.headers = headers
        self.quota = quota


class NoServerUpError(GatewayError):
    """503: no model server could be asked. Nothing was computed."""

    def __init__(self, message: str, retry_after_s: int = 1) -> None:
        super().__init__(
            503, message, "server_error", "overloaded", retry_after_s=retry_after_s
        )


def bad_request(
    message: str, param: str | None = None, code: str | None = None
) -> GatewayError:
    """400: the request is wrong."""
    return GatewayError(400, message, code=code, param=param)


def overloaded(message: str, retry_after_s: int = 1, limit: str = "") -> GatewayError:
    """503: the same request may be answered in a moment."""
    return GatewayError(
        503, message, "server_error", "overloaded", retry_after_s=retry_after_s, limit=limit
    )
