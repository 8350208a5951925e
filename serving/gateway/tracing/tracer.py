"""Traces of requests, if they are wanted: who was asked for how long, no texts.

Without an address to send them to, nothing of OpenTelemetry is imported. With one, the extra
``tracing`` must be installed: `serving.gateway.otlp` does the work.
"""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from types import MappingProxyType
from typing import Any, Final

from serving.gateway.request_record import RequestRecord

NOTHING: Final[Mapping[str, str | int]] = MappingProxyType({})


class TracingError(RuntimeError):
    """Traces are wanted and cannot be made; the message says what to do."""


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


def open_tracer(endpoint: str | None) -> Tracer:
    """
    Args:
      endpoint: address of an OTLP receiver over HTTP, such as ``http://127.0.0.1:4318``; None
        for no traces.

    Raises:
      TracingError: the address is none, or what makes traces is not installed.
    """
    if endpoint is None:
        return NO_TRACES
    if not endpoint.startswith(("http://", "https://")):
        raise TracingError(
            "Traces are sent to an address such as http://127.0.0.1:4318. Received: "
            f"{endpoint!r}"
        )
    try:
        otlp = importlib.import_module("serving.gateway.otlp")
    except ModuleNotFoundError as error:
        raise TracingError(
            f"Traces need what is not installed ({error.name}). Install "
            "'tallygraph[gateway,tracing]', or leave the address of the traces' receiver out."
        ) from None
    tracer: Tracer = otlp.OtlpTracer(endpoint)
    return tracer
