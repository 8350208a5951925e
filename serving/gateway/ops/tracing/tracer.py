"""Traces of requests, if they are wanted: who was asked for how long, no texts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from types import MappingProxyType
from typing import Any, Final

from serving.gateway.ops.request_record import RequestRecord

NOTHING: Final[Mapping[str, str | int]] = MappingProxyType({})


class Tracer(ABC):
    """Makes spans: of a request, and of its parts below it."""

    @abstractmethod
    def request(self, record: RequestRecord) -> AbstractContextManager[Any]:
        """The span of a request, described at its end by what its record says then."""

    @abstractmethod
    def part(
        self, name: str, attributes: Mapping[str, str | int] = NOTHING
    ) -> AbstractContextManager[Any]:
        """The span of a part of the request under way: ``authenticate``, ``reserve``, …

        Args:
          attributes: no texts.
        """

    @abstractmethod
    def close(self) -> None:
        """Send what has not been sent."""


class _NoTraces(Tracer):
    def request(self, record: RequestRecord) -> AbstractContextManager[Any]:
        return nullcontext()

    def part(
        self, name: str, attributes: Mapping[str, str | int] = NOTHING
    ) -> AbstractContextManager[Any]:
        return nullcontext()

    def close(self) -> None:
        return None


NO_TRACES: Final[Tracer] = _NoTraces()
