"""Sells an answer to a client, and tells the ledger whether it could be delivered.

OpenAI's clients time out and ask again by default. An answer without an idempotency key, whose
client had gone before it was written, belongs to the next identical request of the tenant.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from serving.gateway.ports import Render, SummaryRequest, SummaryResponse
from serving.gateway.service import SummaryService
from serving.gateway.tenants import Caller


@dataclass(frozen=True, slots=True)
class Sale:
    """An answer on its way to its client.

    Attributes:
      leaving: is done when the client has gone; None where that does not matter, because the
        client has its answer by its idempotency key anyway.
    """

    answer: SummaryResponse
    leaving: asyncio.Task[None] | None = None


async def sell(
    request: Request,
    service: SummaryService,
    caller: Caller,
    asked: SummaryRequest,
    render: Render,
) -> Sale:
    """What `SummaryService.summarize` returns; meanwhile the client may go away.

    Args:
      request: its body has been read.

    Raises:
      GatewayError: what the client gets instead.
    """
    if asked.idempotency_key is not None:
        return Sale(await service.summarize(caller, asked, render))
    selling = service.begin(caller, asked, render)
    leaving = asyncio.create_task(_left(request))
    try:
        await asyncio.wait({selling, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not selling.done():
            await service.undelivered(asked.request_id)
        return Sale(await asyncio.shield(selling), leaving)
    except BaseException:
        leaving.cancel()
        raise


async def _left(request: Request) -> None:
    """Return when the client has gone."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


class DeliveredResponse(Response):
    """A response of which the ledger is told whether it was written to its client."""

    def __init__(
        self,
        response: Response,
        leaving: asyncio.Task[None],
        service: SummaryService,
        request_id: str,
    ) -> None:
        """
        Args:
          response: what is written.
          leaving: of the sale.
          request_id: the ledger's, of the charge.
        """
        self._response = response
        self._leaving = leaving
        self._service = service
        self._request_id = request_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(0)  # a client that has just gone is seen
        gone = self._leaving.done()
        try:
            await self._response(scope, receive, send)
        except BaseException:
            await self._service.undelivered(self._request_id)
            raise
        finally:
            self._leaving.cancel()
        if gone:
            await self._service.undelivered(self._request_id)
        else:
            self._service.delivered(self._request_id)
