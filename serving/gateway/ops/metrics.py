"""What the gateway counts, for Prometheus.

Names and labels are OpenTelemetry's where it has one, in Prometheus's spelling: for generative
AI (https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-metrics/) and for HTTP. What is by
tenant, and money, has no name there and is ``tallygraph_…``.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.registry import Collector

from serving.gateway.backends.waiting import OUTCOMES, ModelWait
from serving.gateway.errors import GatewayError
from serving.gateway.ops.request_record import RequestRecord
from serving.ledger import Entry, Usage

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

OPERATION: Final = "summarize"
"""What the model is asked for; a chat with the gateway is a ``chat``."""
COUNT_OPERATION: Final = "count_tokens"
"""The same, without a summary: computed, and not charged."""

_OPERATIONS: Final = {
    "/v1/chat/completions": "chat",
    "/v1/completions": "text_completion",
    "/v1/responses": "chat",
    "/v1/summaries": OPERATION,
}

# Powers of two, as the conventions recommend, and below them: a hit of the cache is quick.
_SECONDS: Final = (
    *(0.001, 0.0025, 0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64),
    *(1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92),
)
_TOKENS: Final = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536)


class Metrics:
    """One for a process. Labels are names that the operator has given, never a client's own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._http_duration = self._histogram(
            "http_server_request_duration_seconds",
            "From a request's arrival to the end of its response",
            ["http_request_method", "http_route", "http_response_status_code", "error_type"],
        )
        self._duration = self._histogram(
            "gen_ai_server_request_duration_seconds",
            "From a request's arrival to the end of its response, for requests to a model",
            ["gen_ai_operation_name", "gen_ai_request_model", "error_type"],
        )
        self._model_duration = self._histogram(
            "gen_ai_client_operation_duration_seconds",
            "From sending a request to a model server to its response",
            ["gen_ai_operation_name", "gen_ai_request_model", "error_type"],
        )
        self._token_usage = Histogram(
            "gen_ai_client_token_usage",
            "Tokens of a completed request",
            ["gen_ai_token_type", "gen_ai_request_model", "gen_ai_response_model"],
            buckets=_TOKENS,
            registry=self._registry,
        )
        self._tokens = self._counter(
            "tallygraph_tokens",
            "Tokens charged; input does not include input_cached",
            ["tenant", "model", "model_version", "type"],
        )
        self._money = self._counter(
            "tallygraph_charged_micro",
            "Money charged, in millionths of the currency's unit",
            ["tenant", "model", "currency"],
        )
        self._replays = self._counter(
            "tallygraph_replays",
            "Requests that had already been completed and charged",
            ["tenant"],
        )
        self._errors = self._counter(
            "tallygraph_errors",
            "Error responses, by the code that the client gets",
            ["code"],
        )
        self._limited = self._counter(
            "tallygraph_limited",
            "Requests rejected by a limit; shed is the gateway's own limit, for all tenants",
            ["tenant", "limit"],
        )
        self._cache_rows = self._counter(
            "tallygraph_cache_rows",
            "Texts looked up in the cache, by outcome",
            ["outcome"],
        )
        self._cache_errors = self._counter(
            "tallygraph_cache_errors",
            "Failures of the cache, where the request went to the model instead",
            ["operation"],
        )
        self._ledger_duration = self._histogram(
            "tallygraph_ledger_duration_seconds",
            "From calling the ledger to its result, including waiting for a thread and a lock",
            ["operation"],
        )
        self._under_way = self._gauge(
            "tallygraph_requests_under_way",
            "Requests that have arrived and are not completed",
        )
        self._model_under_way = self._gauge(
            "tallygraph_model_requests_under_way",
            "Requests to model servers that are not completed",
            ["model"],
        )
        self._waiting = self._gauge(
            "tallygraph_model_requests_waiting",
            "Requests that have found no model server up and wait for one",
            ["model"],
        )
        self._waits = self._histogram(
            "tallygraph_model_wait_duration_seconds",
            "How long requests waited for a model server, by what came of it: served, expired, "
            "rejected (too many waited) or abandoned (the client went away)",
            ["model", "outcome"],
        )
        self._prices = self._gauge(
            "tallygraph_price_book_info",
            "1 for the price book in use, by the beginning of its file's SHA-256",
            ["fingerprint"],
        )
        self._refused_books = self._counter(
            "tallygraph_price_book_refused",
            "Changed price books that could not be used; the former one stayed",
        )
        self._events = self._counter(
            "tallygraph_events_delivered",
            "Usage events delivered by this gateway",
        )
        self._failed_deliveries = self._counter(
            "tallygraph_event_deliveries_failed",
            "Deliveries of usage events that failed, and are tried again",
        )

    def watch_wait(self, model: str, wait: ModelWait) -> None:
        """Show who waits for a server of a model, from now on."""
        self._model_under_way.labels(model)
        self._waiting.labels(model).set_function(lambda: wait.waiting)
        outcomes = {each: self._waits.labels(model, each) for each in OUTCOMES}
        wait.observe = lambda outcome, seconds: outcomes[outcome].observe(seconds)

    def price_book(self, fingerprint: str, used: bool) -> None:
        """A price book is in use now, or could not be used."""
        if used:
            self._prices.clear()
            self._prices.labels(fingerprint).set(1)
        else:
            self._refused_books.inc()

    def events_delivered(self, events: int, failed: bool) -> None:
        """Count what a delivery has come to."""
        self._events.inc(events)
        if failed:
            self._failed_deliveries.inc()

    def set_under_way(self, requests: int) -> None:
        self._under_way.set(requests)

    def ended(self, record: RequestRecord, seconds: float) -> None:
        """Count a request that is over."""
        status = str(record.status or "none")
        self._http_duration.labels(record.method, record.route, status, record.error).observe(
            seconds
        )
        if record.error:
            self._errors.labels(record.error).inc()
        if record.limit:
            self._limited.labels(record.tenant, record.limit).inc()
        if (operation := _OPERATIONS.get(record.route)) and record.model:
            self._duration.labels(operation, record.model, record.error).observe(seconds)

    def charged(self, usage: Usage, charge: Entry) -> None:
        """Count an answer that has been charged for."""
        for kind, tokens in (
            ("input", usage.input_tokens - usage.cached_tokens),
            ("input_cached", usage.cached_tokens),
            ("output", usage.output_tokens),
        ):
            self._tokens.labels(charge.tenant, usage.model, usage.model_version, kind).inc(
                tokens
            )
        answered_by = f"{usage.model}-{usage.model_version}"
        for kind, tokens in (("input", usage.input_tokens), ("output", usage.output_tokens)):
            self._token_usage.labels(kind, usage.model, answered_by).observe(tokens)
        self._money.labels(charge.tenant, usage.model, charge.currency).inc(charge.amount_micro)

    def replayed(self, tenant: str) -> None:
        """Count a request that had been answered before."""
        self._replays.labels(tenant).inc()

    def cache_read(self, hits: int, misses: int) -> None:
        self._cache_rows.labels("hit").inc(hits)
        self._cache_rows.labels("miss").inc(misses)

    def cache_failed(self, operation: str) -> None:
        """
        Args:
          operation: read, write, or value for one that is no answer.
        """
        self._cache_errors.labels(operation).inc()

    @contextlib.contextmanager
    def model_call(self, model: str, operation: str = OPERATION) -> Iterator[None]:
        """Around a request to a model server."""
        started, error = time.monotonic(), ""
        under_way = self._model_under_way.labels(model)
        under_way.inc()
        try:
            yield
        except BaseException as raised:
            code = raised.code if isinstance(raised, GatewayError) else None
            error = code or type(raised).__name__
            raise
        finally:
            under_way.dec()
            self._model_duration.labels(operation, model, error).observe(
                time.monotonic() - started
            )

    @contextlib.contextmanager
    def ledger_call(self, operation: str) -> Iterator[None]:
        """Around a call to the ledger.

        Args:
          operation: reserve, settle, release or undelivered.
        """
        started = time.monotonic()
        try:
            yield
        finally:
            self._ledger_duration.labels(operation).observe(time.monotonic() - started)

    def watch(self, collector: Collector) -> None:
        """Add what is found out when the page is made."""
        self._registry.register(collector)

    def page(self) -> bytes:
        """The text that Prometheus scrapes. It may ask a database: not for an event loop."""
        return generate_latest(self._registry)

    def _histogram(self, name: str, documentation: str, labels: list[str]) -> Histogram:
        return Histogram(name, documentation, labels, buckets=_SECONDS, registry=self._registry)

    def _counter(self, name: str, documentation: str, labels: Sequence[str] = ()) -> Counter:
        return Counter(name, documentation, labels, registry=self._registry)

    def _gauge(self, name: str, documentation: str, labels: Sequence[str] = ()) -> Gauge:
        return Gauge(name, documentation, labels, registry=self._registry)
