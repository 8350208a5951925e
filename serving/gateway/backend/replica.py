"""One of the servers that serve the same model, and how it has been doing."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import Final

from serving.client.errors import ClientError
from serving.gateway.backend.server import ModelServer, Standing

_LOG = logging.getLogger(__name__)
_NOT_ASKED: Final = "it has not been checked yet"


class Replica:
    """A server, what it is known to have, and how much it has to do.

    Attributes:
      under_way: requests that it has been asked and has not answered.
      standing: what it had when it was last heard of.
      ejected: why it is asked only when there is no other; None while it is well.
    """

    def __init__(self, server: ModelServer, labels: Sequence[str], timeout_s: float) -> None:
        """
        Args:
          labels: whose versions are asked for, besides what is available.
          timeout_s: how long a look may take.
        """
        self.server = server
        self.under_way = 0
        self.ejected: str | None = _NOT_ASKED
        self._labels = labels
        self._timeout_s = timeout_s
        self.standing = Standing(frozenset(), {})
        self._look: asyncio.Task[None] | None = None

    def has(self, version: int) -> bool:
        """Whether it had the version when it was last heard of."""
        return version in self.standing.available

    def version_of(self, label: str | None) -> int | None:
        """The version that a label, or None for the newest, means to it; None: it has none."""
        if label is None:
            return max(self.standing.available, default=None)
        version = self.standing.labels.get(label)
        return version if version in self.standing.available else None

    def lacks(self, version: int) -> None:
        """It has said that it has the version no more."""
        available = self.standing.available - {version}
        self.standing = Standing(available, self.standing.labels)

    def eject(self, reason: str) -> None:
        """It gave no answer: it is asked again once it has answered a look."""
        if self.ejected is None:
            _LOG.warning(
                "The model server %s is unhealthy and gets no requests: %s",
                self.server.url,
                reason,
            )
        self.ejected = reason

    async def close(self) -> None:
        if self._look is not None:
            self._look.cancel()
            await asyncio.gather(self._look, return_exceptions=True)
        await self.server.close()

    async def look(self) -> None:
        """Ask how it stands. Who asks while that is being asked gets the same answer."""
        if self._look is None or self._look.done():
            self._look = asyncio.create_task(self._ask())
        # Whoever gives up waiting takes nothing from the others.
        await asyncio.shield(self._look)

    async def _ask(self) -> None:
        deadline = time.monotonic() + self._timeout_s
        try:
            self.standing = await self.server.standing(self._labels, deadline)
        except TimeoutError:
            self.eject(f"it did not respond within {self._timeout_s:g} s")
        except ClientError as error:
            self.eject(str(error))
        else:
            if self.ejected not in (None, _NOT_ASKED):
                _LOG.warning("The model server %s is healthy again", self.server.url)
            self.ejected = None
