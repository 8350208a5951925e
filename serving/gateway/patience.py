"""How a request waits for a model server, as the service's sequence uses it."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence

from serving.gateway.errors import NoServerUpError
from serving.gateway.ports import ModelPort, SummaryRequest
from serving.gateway.tenants import Caller


class Patience:
    """Of requests to one model; where nothing may wait, it does nothing."""

    def __init__(self, model: ModelPort) -> None:
        self._model = model
        self._wait = model.wait

    def until(self) -> float:
        """Until when a request that begins now may wait, as ``time.monotonic()``."""
        return time.monotonic() + self._wait.wait_s

    def is_needed(self) -> bool:
        """Whether a request that comes now has to wait."""
        return self._wait.must_wait()

    async def turn(self, caller: Caller, request: SummaryRequest, until: float) -> None:
        """Return when a server is up for the request.

        Raises:
          GatewayError: none was in time, too many wait, or the client went away.
        """
        size_bytes = len(request.identity)
        await self._wait.turn(request.request_id, caller.tenant, size_bytes, until)

    def abandon(self, request_id: str) -> bool:
        """The client went away: whether its request was waiting, which it no longer does."""
        return self._wait.abandon(request_id)

    async def count(
        self, caller: Caller, texts: Sequence[str], until: float
    ) -> list[tuple[int, int]]:
        """See `ModelPort.count`; a server is waited for.

        Raises:
          GatewayError: as `turn`, or no server answers.
        """
        request_id = uuid.uuid4().hex
        size_bytes = sum(map(len, texts))
        while True:
            await self._wait.turn(request_id, caller.tenant, size_bytes, until)
            try:
                return await self._model.count(caller.tenant, texts)
            except NoServerUpError:
                if time.monotonic() >= until:
                    raise
