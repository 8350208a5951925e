"""The servers of a model: the one with the least to do is asked, and the next if it cannot.

A request goes to another server only when the one before has not begun to compute: it could
not be reached, has not the version, or says that it is too busy. Each server is asked once.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Sequence

from serving.client.errors import BadAnswerError, RefusedError, UnreachableError
from serving.gateway.backend.errors import (
    NOT_FOUND,
    TOO_BUSY,
    VersionGoneError,
    told,
    took_too_long,
)
from serving.gateway.backend.replica import Replica
from serving.gateway.backend.server import Columns
from serving.gateway.errors import overloaded

_LOG = logging.getLogger(__name__)


class Replicas:
    """Servers that are looked after in the background, from the first look on."""

    def __init__(self, replicas: Sequence[Replica], interval_s: float) -> None:
        """
        Args:
          replicas: at least one; of two that have as much to do, the first is asked.
          interval_s: between two looks at a server.
        """
        self.replicas = replicas
        self._interval_s = interval_s
        self._watching: list[asyncio.Task[None]] = []

    async def close(self) -> None:
        for task in self._watching:
            task.cancel()
        await asyncio.gather(*self._watching, return_exceptions=True)
        for replica in self.replicas:
            await replica.close()

    async def look(self) -> None:
        """Look at all servers now, and from now on."""
        await asyncio.gather(*(replica.look() for replica in self.replicas))
        if not self._watching:
            # One for each: a server that hangs delays no look at another.
            self._watching = [asyncio.create_task(self._watch(r)) for r in self.replicas]

    def well(self) -> list[Replica]:
        return [replica for replica in self.replicas if replica.ejected is None]

    def answering(self, label: str | None) -> int | None:
        """The version that a label means to most servers, and of two the newer.

        While a label moves from server to server, at least half of them can so be asked.

        Args:
          label: None for the newest version.

        Returns:
          None where no server has it. What those that are not well last had counts where none
          is well: a look that failed says little when all do.
        """
        said = Counter(
            version
            for replica in self.well() or self.replicas
            if (version := replica.version_of(label)) is not None
        )
        return max(said, key=lambda version: (said[version], version), default=None)

    def why_not(self) -> str:
        """What is wrong with the servers, for whoever gets no answer."""
        reasons = [f"{r.server.url}: {r.ejected}" for r in self.replicas if r.ejected]
        return "; ".join(reasons) or "no server has a version of it"

    async def predict(
        self, version: int, signature: str, inputs: Columns, deadline: float
    ) -> Columns:
        """Run a signature on one of the servers that have the version.

        Raises:
          VersionGoneError: no server has it; nothing was computed.
          GatewayError: what the client is told.
        """
        refused: RefusedError | None = None
        for replica in self.in_turn(version):
            if time.monotonic() >= deadline:
                raise took_too_long()
            replica.under_way += 1
            try:
                return await replica.server.predict(version, signature, inputs, deadline)
            except UnreachableError as error:
                replica.eject(str(error))
                if error.was_sent:
                    raise told(error) from None
            except RefusedError as error:
                if error.code == NOT_FOUND:
                    replica.lacks(version)
                elif error.code in TOO_BUSY:
                    refused = error
                else:
                    raise told(error) from None
            except (BadAnswerError, TimeoutError) as error:
                raise told(error) from None
            finally:
                replica.under_way -= 1
        if refused is not None:
            raise told(refused)
        if any(not replica.has(version) for replica in self.well()):
            raise VersionGoneError
        raise overloaded(
            f"No model server can be reached ({self.why_not()}). Try again in a moment."
        )

    def in_turn(self, version: int) -> list[Replica]:
        """Who is asked, one after the other; those that are not well only when none is left."""
        some = [r for r in self.replicas if r.ejected is not None or r.has(version)]
        return sorted(some, key=lambda r: (r.ejected is not None, r.under_way))

    async def _watch(self, replica: Replica) -> None:
        while True:
            await asyncio.sleep(self._interval_s)
            try:
                await replica.look()
            except Exception as error:
                # Nobody waits for this task: if it ended, the server would stay as it is now.
                _LOG.exception(
                    "The health check of the model server %s failed", replica.server.url
                )
                replica.eject(f"{type(error).__name__}: {error}")
