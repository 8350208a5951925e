"""What the gateway counts, for Prometheus.

Names and labels are OpenTelemetry's where it has one, in Prometheus's spelling: for generative
AI (https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-metrics/) and for HTTP. What is by
tenant, and money, has no name there and is ``tallygraph_…``.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import platform
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeVar, cast

from prometheus_client import Counter, Gauge, Histogram, generate_latest
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from serving.gateway.backends import ServedModel
from serving.gateway.backends.waiting import OUTCOMES
from serving.gateway.errors import GatewayError
from serving.gateway.ops.families import Families
from serving.gateway.ops.operations import COUNT_OPERATION, OPERATION, OPERATIONS
from serving.gateway.ops.request_record import RequestRecord
from serving.ledger import Entry, Usage

Family = TypeVar("Family", Counter, Gauge, Histogram)

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

_TOO_MUCH: Final = ("insufficient_quota", "rate_limit_exceeded", "too_many_at_once")
_OUTCOMES: Final = (
    *(("200", ""), ("400", "invalid_request_error"), ("401", "invalid_api_key")),
    *(("429", each) for each in _TOO_MUCH),
    *(("500", "internal"), ("502", "no_answer"), ("502", "bad_answer")),
    *(("503", "overloaded"), ("504", "model_timeout")),
)
"""Statuses and errors of requests that rules and dashboards ask for."""
_CODES: Final = (
    *("overloaded", "no_answer", "bad_answer", "model_timeout", "internal", *_TOO_MUCH),
    *("invalid_request_error", "invalid_api_key", "reservation_lost"),
)
"""Errors that rules and dashboards ask for."""
_LIMITS: Final = (
    *("budget", "credit", "concurrency"),
    *("requests_per_minute", "tokens_per_minute"),
)
"""Limits of a tenant's."""
_MODEL_CODES: Final = ("", "overloaded", "no_answer", "bad_answer", "model_timeout")


class Metrics(Families):
    """What is counted; one for a process.

    A series that begins with its first count shows no increase then. So each whose labels are
    known is there, with 0, from the start.
    """

    def __init__(self) -> None:
        super().__init__()
        self._before_page: list[Callable[[], None]] = []
        self._paging = threading.Lock()
        self._kept: dict[tuple[Any, tuple[str, ...]], Any] = {}
        self._build_info.labels(_version(), platform.python_version()).set(1)
        for code in _CODES:
            self._errors.labels(code)
        self._limited.labels("", "shed")
        for outcome in ("hit", "miss"):
            self._cache_rows.labels(outcome)
        for operation in ("read", "write", "value"):
            self._cache_errors.labels(operation)
        for operation in ("reserve", "settle", "release", "undelivered"):
            self._ledger_duration.labels(operation)
        for route in OPERATIONS:
            for status, error in _OUTCOMES:
                self._http_duration.labels("POST", route, status, error)

    def watch_limits(self, limits: Mapping[str, int]) -> None:
        """Say what the gateway takes at most, by the place."""
        for place, limit in limits.items():
            self._limits.labels(place).set(limit)

    def watch_model(self, model: ServedModel) -> None:
        """Show a model's servers, and who waits for one, from now on."""
        self._waiting.labels(model.name).set_function(lambda: model.wait.waiting)
        outcomes = {each: self._waits.labels(model.name, each) for each in OUTCOMES}
        model.wait.observe = lambda outcome, seconds: outcomes[outcome].observe(seconds)
        self._model_under_way.labels(model.name)
        for error in _MODEL_CODES:
            for operation in (OPERATION, COUNT_OPERATION):
                self._model_duration.labels(operation, model.name, error)
            for operation in set(OPERATIONS.values()):
                self._duration.labels(operation, model.name, error)

        def servers() -> None:
            for replica in model.replicas.replicas:
                labels = model.name, replica.url
                self._server_up.labels(*labels).set(replica.ejected is None)
                self._server_under_way.labels(*labels).set(replica.under_way)

        self.before_page(servers)

    def before_page(self, refresh: Callable[[], None]) -> None:
        """Call this whenever a page is made, before it is."""
        self._before_page.append(refresh)

    def expect(self, tenants: Sequence[str], model: str, version: str, currency: str) -> None:
        """Count from 0 what these tenants may be charged for."""
        answered_by = f"{model}-{version}"
        for kind in ("input", "output"):
            self._token_usage.labels(kind, model, answered_by)
        for tenant in tenants:
            for kind in ("input", "input_cached", "output"):
                self._tokens.labels(tenant, model, version, kind)
            self._money.labels(tenant, model, currency)
            self._replays.labels(tenant)
            for limit in _LIMITS:
                self._limited.labels(tenant, limit)

    def set_budgets(self, remaining_micro: Mapping[str, int]) -> None:
        """Show what is left of these tenants' budgets, and of no other's."""
        self._budget_remaining.clear()
        for tenant, amount in remaining_micro.items():
            self._budget_remaining.labels(tenant).set(amount)

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

    def _series(self, family: Family, *labels: str) -> Family:
        """`family.labels(*labels)`, kept: it is looked up for every request."""
        series = self._kept.get((family, labels))
        if series is None:
            series = self._kept[family, labels] = family.labels(*labels)
        return cast(Family, series)

    def set_under_way(self, requests: int) -> None:
        self._under_way.set(requests)

    def ended(self, record: RequestRecord, seconds: float) -> None:
        """Count a request that is over."""
        status = str(record.status or "none")
        self._series(
            self._http_duration, record.method, record.route, status, record.error
        ).observe(seconds)
        if record.error:
            self._series(self._errors, record.error).inc()
        if record.limit:
            self._series(self._limited, record.tenant, record.limit).inc()
        if (operation := OPERATIONS.get(record.route)) and record.model:
            self._series(self._duration, operation, record.model, record.error).observe(seconds)

    def charged(self, usage: Usage, charge: Entry) -> None:
        """Count an answer that has been charged for."""
        for kind, tokens in (
            ("input", usage.input_tokens - usage.cached_tokens),
            ("input_cached", usage.cached_tokens),
            ("output", usage.output_tokens),
        ):
            self._series(
                self._tokens, charge.tenant, usage.model, usage.model_version, kind
            ).inc(tokens)
        answered_by = f"{usage.model}-{usage.model_version}"
        for kind, tokens in (("input", usage.input_tokens), ("output", usage.output_tokens)):
            self._series(self._token_usage, kind, usage.model, answered_by).observe(tokens)
        self._series(self._money, charge.tenant, usage.model, charge.currency).inc(
            charge.amount_micro
        )

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
        under_way = self._series(self._model_under_way, model)
        under_way.inc()
        try:
            yield
        except BaseException as raised:
            code = raised.code if isinstance(raised, GatewayError) else None
            error = code or type(raised).__name__
            raise
        finally:
            under_way.dec()
            self._series(self._model_duration, operation, model, error).observe(
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
            self._series(self._ledger_duration, operation).observe(time.monotonic() - started)

    def watch(self, collector: Collector) -> None:
        """Add what is found out when the page is made."""
        self._registry.register(collector)

    def samples(self, *names: str) -> Iterator[Sample]:
        """What is counted now under some names; no database is asked."""
        for family in self._registry.restricted_registry(names).collect():
            yield from family.samples

    def page(self) -> bytes:
        """The text that Prometheus scrapes. It may ask a database: not for an event loop."""
        with self._paging:
            for refresh in self._before_page:
                refresh()
            return generate_latest(self._registry)


def _version() -> str:
    try:
        return importlib.metadata.version("tallygraph")
    except importlib.metadata.PackageNotFoundError:  # run from its sources, not installed
        return "unknown"
