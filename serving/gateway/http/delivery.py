"""Sells an answer to a client, and tells the ledger whether it could be delivered.

OpenAI's clients time out and ask again by default. An answer without an idempotency key, whose
client had gone before it was written, belongs to the next identical request of the tenant.
"""

from __future__ import annotations

import asyncio

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from serving.gateway.ports import Render, SummaryRequest, SummaryResponse
from serving.gateway.service import SummaryService
from serving.gateway.tenants import Caller


async def sell(
    request: Request,
    service: SummaryService,
    caller: Caller,
    asked: SummaryRequest,
    render: Render,
) -> SummaryResponse:
    """What `SummaryService.summarize` returns; meanwhile the client may go away.

    Args:
      request: its body has been read.

    Raises:
      GatewayError: what the client gets instead.
    """
    if asked.idempotency_key is not None:  # by it the client has its answer anyway
        return await service.summarize(caller, asked, render)
    selling = service.begin(caller, asked, render)
    leaving = asyncio.ensure_future(_left(request))
    try:
        await asyncio.wait({selling, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not selling.done():
            await service.undelivered(asked.request_id)
        return await asyncio.shield(selling)
    finally:
        leaving.cancel()


async def _left(request: Request) -> None:
    """Return when the client has gone."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


class DeliveredResponse(Response):
    """A response of which the ledger is told whether it was written to its client."""

    def __init__(
        self,
        response: Response,
        request: Request,
        service: SummaryService,
        request_id: str,
    ) -> None:
        """
        Args:
          response: what is written.
          request_id: the ledger's, of the charge.
        """
        self._response = response
        self._request = request
        self._service = service
        self._request_id = request_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        gone = await self._request.is_disconnected()
        try:
            await self._response(scope, receive, send)
        except BaseException:
            await self._service.undelivered(self._request_id)
            raise
        if gone:
            await self._service.undelivered(self._request_id)
        else:
            self._service.delivered(self._request_id)
