"""A connection over REST, for callers that wait."""

from __future__ import annotations

from typing import TypeVar

import httpx

from serving.protocol import rest_api
from serving.protocol.errors import TooSlowError, UnreachableError
from serving.protocol.exchange import Connection, Exchange

T = TypeVar("T")


class HttpConnection(Connection):
    """Asks over HTTP/1.1."""

    api = rest_api

    def __init__(self, url: str) -> None:
        """
        Args:
          url: such as ``http://127.0.0.1:8501``.
        """
        self._http = httpx.Client(base_url=url, trust_env=False)

    def close(self) -> None:
        self._http.close()

    def ask(self, exchange: Exchange[T], timeout_s: float) -> T:
        request: rest_api.HttpRequest = exchange.request
        try:
            answer = self._http.request(
                request.method,
                request.target,
                content=request.body or None,
                headers={"Content-Type": "application/json"},
                timeout=timeout_s,
            )
        except httpx.TimeoutException as error:
            was_sent = not isinstance(error, httpx.ConnectTimeout | httpx.PoolTimeout)
            raise TooSlowError(f"{type(error).__name__}: {error}", was_sent) from None
        except httpx.HTTPError as error:
            was_sent = not isinstance(error, httpx.ConnectError)
            raise UnreachableError(f"{type(error).__name__}: {error}", was_sent) from None
        return exchange.read((answer.status_code, answer.content))
