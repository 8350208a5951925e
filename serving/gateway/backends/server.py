"""One model server, asked about one model, whatever the protocol."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from serving.protocol.errors import RefusedError
from serving.protocol.statuses import Kind

CONNECT_TIMEOUT_S: Final = 5.0
"""A server that does not take a connection in this time counts as unreachable. Not less: where
a burst keeps the event loop busy for seconds, that is no fault of the server's."""

Columns = Mapping[str, list[Any]]
"""Of each input or output, a value a row: texts or integers."""


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """What a server has at a moment.

    Attributes:
      available: the versions that it answers for.
      labels: the version of each label that was asked for; without those that it has not.
    """

    available: frozenset[int]
    labels: Mapping[str, int]


class ModelServer(ABC):
    """One server.

    A deadline is a value of ``time.monotonic()``. Every method that asks raises:

    - ``UnreachableError``: there was no answer; ``was_sent`` says whether it may have computed;
      ``TooSlowError`` where the deadline has passed;
    - ``RefusedError``: it answered with an error, by its canonical code;
    - ``BadAnswerError``: its answer is not TensorFlow Serving's.
    """

    def __init__(self, url: str, model: str) -> None:
        """
        Args:
          url: the server's address, as the operator wrote it.
          model: the model's name.
        """
        self.url = url
        self.model = model

    @abstractmethod
    async def predict(
        self, version: int, signature: str, inputs: Columns, deadline: float
    ) -> Columns:
        """Run a signature of a version: outputs have a row for each row of the inputs."""

    @abstractmethod
    async def close(self) -> None:
        """Give back connections. No method may be called afterwards."""

    async def status(self, labels: Sequence[str], deadline: float) -> ServerStatus:
        """What it has now, by asking it.

        A server that answers is alive, though it has no version of the model.
        """
        try:
            available = await self._available(deadline)
        except RefusedError as error:
            if error.kind is not Kind.ABSENT:
                raise
            return ServerStatus(frozenset(), {})
        found: dict[str, int] = {}
        for label in labels:
            try:
                found[label] = await self._labelled(label, deadline)
            except RefusedError as error:
                # Nobody has the label, or what has it is not loaded.
                if error.kind not in (Kind.ABSENT, Kind.REQUEST):
                    raise
        return ServerStatus(available, found)

    @abstractmethod
    async def _available(self, deadline: float) -> frozenset[int]:
        """The versions whose state is AVAILABLE."""

    @abstractmethod
    async def _labelled(self, label: str, deadline: float) -> int:
        """The version of a label."""
