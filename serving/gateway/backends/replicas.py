"""The servers of a model: the one with the fewest requests is asked, and the next if it cannot.

A request goes to another server only when the one before has not begun to compute: it could
not be reached, has not the version, or says that it is too busy. Each server is asked once,
but for servers that have no thread left, which is over in a moment: they are asked again.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

from serving.gateway.backends.errors import refusal, took_too_long
from serving.gateway.backends.server import Replica, lacks_thread
from serving.gateway.errors import NoServerUpError, overloaded
from serving.gateway.ports import VersionGoneError
from serving.protocol.errors import BadAnswerError, RefusedError, TooSlowError, UnreachableError
from serving.protocol.exchange import Columns
from serving.protocol.statuses import Kind

_LOG = logging.getLogger(__name__)

THREAD_WAIT_S: Final = 5.0
"""How long a request waits for a server to have a thread for it, within its own deadline."""
_FIRST_PAUSE_S: Final = 0.02
_LONGEST_PAUSE_S: Final = 0.5


class _NoThreadLeft(Exception):  # noqa: N818  (no error yet: the request waits)
    """Every server that could be asked was busy, and one of them lacked threads only."""


class Replicas:
    """Servers that are polled in the background, from the first health check on."""

    def __init__(self, replicas: Sequence[Replica], interval_s: float) -> None:
        """
        Args:
          replicas: at least one; of two that have as much to do, the first is asked.
          interval_s: between two health checks of a server.
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

    async def poll(self) -> None:
        """Poll all servers now, and from now on."""
        await asyncio.gather(*(replica.poll() for replica in self.replicas))
        if not self._watching:
            # One for each: a server that hangs delays no health check of another.
            self._watching = [asyncio.create_task(self._watch(r)) for r in self.replicas]

    def healthy(self) -> list[Replica]:
        return [replica for replica in self.replicas if replica.ejected is None]

    def up(self, label: str | None) -> int:
        """How many are healthy and have the version that a label, or None for the newest, means
        to them."""
        return sum(
            replica.ejected is None and replica.version_of(label) is not None
            for replica in self.replicas
        )

    def under_way(self) -> int:
        """Requests that they have been asked and have not answered."""
        return sum(replica.under_way for replica in self.replicas)

    def serving_version(self, label: str | None) -> int | None:
        """The version that a label means to most servers, and of two the newer.

        While a label moves from server to server, at least half of them can so be asked.

        Args:
          label: None for the newest version.

        Returns:
          None where no server has it. What unhealthy servers last had counts where none is
          healthy: a failed health check says little when all fail.
        """
        said = Counter(
            version
            for replica in self.healthy() or self.replicas
            if (version := replica.version_of(label)) is not None
        )
        return max(said, key=lambda version: (said[version], version), default=None)

    def why_not(self) -> str:
        """What is wrong with the servers, for those who run them: it has their addresses."""
        reasons = [f"{r.url}: {r.ejected}" for r in self.replicas if r.ejected]
        return "; ".join(reasons) or "no server has a version of it"

    def described(self) -> list[dict[str, Any]]:
        """Each server as it was last heard of, for those who run them."""
        return [
            {
                "url": replica.url,
                "healthy": replica.ejected is None,
                "problem": replica.ejected,
                "versions": sorted(replica.status.available),
                "labels": dict(replica.status.labels),
                "requests_under_way": replica.under_way,
            }
            for replica in self.replicas
        ]

    async def predict(
        self, version: int, signature: str, inputs: Columns, deadline: float
    ) -> Columns:
        """Run a signature on one of the servers that have the version.

        Raises:
          VersionGoneError: no server has it; nothing was computed.
          NoServerUpError: none could be reached; nothing was computed.
          GatewayError: what the client gets.
        """
        give_up_at = min(time.monotonic() + THREAD_WAIT_S, deadline)
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                return await self._predict_once(version, signature, inputs, deadline)
            except _NoThreadLeft:
                if time.monotonic() + pause_s >= give_up_at:
                    raise overloaded("The model is busy. Try again in a moment.") from None
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    async def _predict_once(
        self, version: int, signature: str, inputs: Columns, deadline: float
    ) -> Columns:
        """Ask each server at most once.

        Raises:
          _NoThreadLeft: none has computed anything, and one may in a moment.
        """
        refused: RefusedError | None = None
        for replica in self.candidates(version):
            if time.monotonic() >= deadline:
                raise took_too_long()
            try:
                return await replica.predict(version, signature, inputs, deadline)
            except (BadAnswerError, TooSlowError) as error:
                raise refusal(error) from None
            except UnreachableError as error:
                replica.eject(str(error))
                if error.was_sent:
                    raise refusal(error) from None
            except RefusedError as error:
                if error.kind is Kind.ABSENT:
                    replica.forget(version)
                elif error.kind is Kind.BUSY:
                    refused = error if refused is None or lacks_thread(error) else refused
                    if lacks_thread(error):
                        replica.has_no_thread()
                else:
                    raise refusal(error) from None
        if refused is not None:
            raise _NoThreadLeft if lacks_thread(refused) else refusal(refused)
        if any(not replica.has(version) for replica in self.healthy()):
            raise VersionGoneError
        raise NoServerUpError("No model server can be reached. Try again in a moment.")

    def candidates(self, version: int) -> list[Replica]:
        """Which are asked, one after the other; unhealthy ones only when no other is left."""
        some = [r for r in self.replicas if r.ejected is not None or r.has(version)]
        return sorted(some, key=lambda r: (r.ejected is not None, r.under_way))

    async def _watch(self, replica: Replica) -> None:
        while True:
            await asyncio.sleep(self._interval_s)
            try:
                await replica.poll()
            except Exception as error:
                # Nobody waits for this task: if it ended, the server would stay as it is now.
                _LOG.exception("The health check of the model server %s failed", replica.url)
                replica.eject(f"{type(error).__name__}: {error}")
