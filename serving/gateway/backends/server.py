"""A model server by its address: a connection to it, what it has, and how much it has to do."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from serving.gateway.backends.errors import BackendError
from serving.protocol.errors import ClientError, RefusedError, TooSlowError
from serving.protocol.exchange import AVAILABLE, AsyncConnection, Columns, Target
from serving.protocol.http_aio import HttpPool
from serving.protocol.statuses import NO_THREAD_LEFT, Kind

_LOG = logging.getLogger(__name__)
_NOT_POLLED: Final = "it has not been checked yet"
_WARN_EVERY_S: Final = 60.0
_EXPECTED: Final = (
    "A model server's URL is not valid. Expected: http://host:8501 or https://host for "
    "REST, or grpc://host:8500."
)


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """What a server has at a moment.

    Attributes:
      available: the versions that it answers for.
      labels: the version of each label that was asked for; without those that it has not.
    """

    available: frozenset[int]
    labels: Mapping[str, int]


def connect(url: str, connections: int = 100) -> AsyncConnection:
    """A connection to a server; nothing is sent yet.

    Args:
      url: its scheme chooses the protocol.
      connections: of REST, at a time. gRPC needs one.

    Raises:
      BackendError: the URL is not valid.
    """
    wrong = BackendError(f"{_EXPECTED} Received: {url!r}.")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise wrong from None
    # A password in an address would end up in logs.
    if not parts.hostname or parts.username or parts.query or parts.fragment:
        raise wrong
    if parts.scheme in ("http", "https"):
        return HttpPool(url, connections)
    if parts.scheme == "grpc" and port is not None and parts.path in ("", "/"):
        # Not at the top: a gateway that asks over REST does without gRPC's library.
        from serving.protocol.grpc_aio import AioGrpcConnection

        return AioGrpcConnection(parts.netloc)
    raise wrong


async def server_status(
    connection: AsyncConnection, model: str, labels: Sequence[str], deadline: float
) -> ServerStatus:
    """What a server has of a model now, by asking it.

    A server that answers is alive, though it has no version of the model.

    Args:
      labels: whose versions are asked for, besides what is available.

    Raises:
      ClientError: as `AsyncConnection.ask`.
    """
    api = connection.api
    try:
        versions = await connection.ask(api.status(Target(model)), deadline)
    except RefusedError as error:
        if error.kind is not Kind.ABSENT:
            raise
        return ServerStatus(frozenset(), {})
    found: dict[str, int] = {}
    for label in labels:
        try:
            served = await connection.ask(api.metadata(Target(model, label=label)), deadline)
        except RefusedError as error:
            # Nobody has the label, or what has it is not loaded.
            if error.kind not in (Kind.ABSENT, Kind.REQUEST):
                raise
        else:
            found[label] = served.version
    available = frozenset(each.version for each in versions if each.state == AVAILABLE)
    return ServerStatus(available, found)


class Replica:
    """A server, what it is known to have of a model, and how much it has to do.

    Attributes:
      url: the server's address, as the operator wrote it.
      under_way: requests that it has been asked and has not answered.
      status: what it had when it was last heard of.
      ejected: why it is asked only when there is no other; None while it is healthy.
    """

    def __init__(self, url: str, model: str, labels: Sequence[str], timeout_s: float) -> None:
        """
        Args:
          url: its scheme chooses the protocol.
          model: the model's name.
          labels: whose versions are asked for, besides what is available.
          timeout_s: how long a health check may take.

        Raises:
          BackendError: the URL is not valid.
        """
        self.url = url
        self._model = model
        self._connection = connect(url)
        self.under_way = 0
        self.ejected: str | None = _NOT_POLLED
        self._labels = labels
        self._timeout_s = timeout_s
        self.status = ServerStatus(frozenset(), {})
        self._polling: asyncio.Task[None] | None = None
        self._warned_at = float("-inf")

    def has(self, version: int) -> bool:
        """Whether it had the version when it was last heard of."""
        return version in self.status.available

    def version_of(self, label: str | None) -> int | None:
        """The version that a label, or None for the newest, means to it; None: it has none."""
        if label is None:
            return max(self.status.available, default=None)
        version = self.status.labels.get(label)
        return version if version in self.status.available else None

    def forget(self, version: int) -> None:
        """It has said that it no longer has the version."""
        available = self.status.available - {version}
        self.status = ServerStatus(available, self.status.labels)

    async def predict(
        self, version: int, signature: str, inputs: Columns, deadline: float
    ) -> Columns:
        """Run a signature of a version.

        Args:
          deadline: a value of ``time.monotonic()``.

        Raises:
          ClientError: as `AsyncConnection.ask`.
        """
        target = Target(self._model, version)
        predict = self._connection.api.predict(target, signature, inputs)
        self.under_way += 1
        try:
            return await self._connection.ask(predict, deadline)
        finally:
            self.under_way -= 1

    def eject(self, reason: str) -> None:
        """It gave no answer: it gets requests again once it has answered a health check."""
        if self.ejected is None:
            _LOG.warning(
                "The model server %s is unhealthy and gets no requests: %s",
                self.url,
                reason,
            )
        self.ejected = reason

    def has_no_thread(self) -> None:
        """It has refused a request because each of its threads has one: say what to do."""
        if time.monotonic() >= self._warned_at + _WARN_EVERY_S:
            self._warned_at = time.monotonic()
            _LOG.warning(
                "The model server %s refuses requests because all its gRPC threads are in use "
                "(%s). They wait, or go to another server. Start it with a larger "
                "--grpc_max_threads.",
                self.url,
                NO_THREAD_LEFT,
            )

    async def close(self) -> None:
        if self._polling is not None:
            self._polling.cancel()
            await asyncio.gather(self._polling, return_exceptions=True)
        await self._connection.close()

    async def poll(self) -> None:
        """Ask for its status. Who polls while that is being asked gets the same answer."""
        if self._polling is None or self._polling.done():
            self._polling = asyncio.create_task(self._ask())
        # Whoever gives up waiting takes nothing from the others.
        await asyncio.shield(self._polling)

    async def _ask(self) -> None:
        deadline = time.monotonic() + self._timeout_s
        try:
            self.status = await server_status(
                self._connection, self._model, self._labels, deadline
            )
        except TooSlowError:
            self.eject(f"it did not respond within {self._timeout_s:g} s")
        except ClientError as error:
            if not lacks_thread(error) or self.ejected == _NOT_POLLED:
                self.eject(str(error))
            else:
                self.has_no_thread()  # and is alive, with the versions that it had
        else:
            if self.ejected not in (None, _NOT_POLLED):
                _LOG.warning("The model server %s is healthy again", self.url)
            self.ejected = None


def lacks_thread(error: ClientError) -> bool:
    """Whether a server is busy only because each of its threads has a request."""
    return isinstance(error, RefusedError) and NO_THREAD_LEFT in error.message
