"""What the gateway counts, for Prometheus.

Names are OpenTelemetry's for generative AI where it has one
(https://opentelemetry.io/docs/specs/semconv/gen-ai/), in Prometheus's spelling.
"""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from serving.gateway.tenants import Caller
from serving.ledger import Entry, Usage

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS: Final = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 60)


class Metrics:
    """One for a process. Labels are names that the operator has given, never a client's own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._duration = Histogram(
            "gen_ai_server_request_duration_seconds",
            "From a request's arrival to its answer",
            ["path", "status"],
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._tokens = Counter(
            "gen_ai_client_token_usage_tokens",
            "Tokens charged",
            ["tenant", "model", "model_version", "type"],
            registry=self._registry,
        )
        self._money = Counter(
            "tallygraph_charged_micro",
            "Money charged, in millionths of the currency's unit",
            ["tenant", "model", "currency"],
            registry=self._registry,
        )
        self._errors = Counter(
            "tallygraph_errors",
            "Answers that are errors, by the code that the client is told",
            ["code"],
            registry=self._registry,
        )
        self._under_way = Gauge(
            "tallygraph_requests_under_way",
            "Requests that have arrived and are not answered",
            registry=self._registry,
        )

    def begun(self) -> None:
        self._under_way.inc()

    def ended(self, path: str, status: int, seconds: float) -> None:
        """
        Args:
          path: the route's, not the client's.
        """
        self._under_way.dec()
        self._duration.labels(path, str(status)).observe(seconds)

    def failed(self, code: str) -> None:
        self._errors.labels(code).inc()

    def charged(self, caller: Caller, usage: Usage, charge: Entry) -> None:
        """Count an answer that has been charged for."""
        for kind, tokens in (
            ("input", usage.input_tokens - usage.cached_tokens),
            ("input_cached", usage.cached_tokens),
            ("output", usage.output_tokens),
        ):
            self._tokens.labels(caller.tenant, usage.model, usage.model_version, kind).inc(
                tokens
            )
        self._money.labels(caller.tenant, usage.model, charge.currency).inc(charge.amount_micro)

    def page(self) -> bytes:
        """The text that Prometheus scrapes."""
        return generate_latest(self._registry)
