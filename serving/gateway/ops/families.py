"""The families of metrics that a gateway exposes: their names, labels and buckets.

No label is called as one that Prometheus adds to what it scrapes: ``job``, ``instance``,
``namespace``, ``pod``, ``service``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)

# Powers of two, as the conventions recommend, and below them: a hit of the cache is quick.
_SECONDS: Final = (
    *(0.001, 0.0025, 0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64),
    *(1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92),
)
_TOKENS: Final = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536)


class Families:
    """One for a process. Labels are names that the operator has given, never a client's own."""

    def __init__(self) -> None:
        # A series more for each, which no rule asks for.
        disable_created_metrics()  # type: ignore[no-untyped-call]
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
        self._build_info = self._gauge(
            "tallygraph_build_info", "1; what is running", ["version", "python"]
        )
        self._server_up = self._gauge(
            "tallygraph_model_server_up",
            "Whether a model server answers its health checks; 0: it is ejected, and asked "
            "only when no other is left",
            ["model", "server"],
        )
        self._server_under_way = self._gauge(
            "tallygraph_model_server_requests_under_way",
            "Requests that a model server has been asked and has not answered",
            ["model", "server"],
        )
        self._limits = self._gauge(
            "tallygraph_limit",
            "What this gateway takes at most, by place: requests at a time, those of a "
            "tenant, those that wait for a model server and their bytes, connections",
            ["place"],
        )
        self._budget_remaining = self._gauge(
            "tallygraph_budget_remaining_micro",
            "What is left of a tenant's budget in this month, in millionths of the currency's "
            "unit; of the tenants with least",
            ["tenant"],
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
        ProcessCollector(registry=self._registry)

    def _histogram(self, name: str, documentation: str, labels: list[str]) -> Histogram:
        return Histogram(name, documentation, labels, buckets=_SECONDS, registry=self._registry)

    def _counter(self, name: str, documentation: str, labels: Sequence[str] = ()) -> Counter:
        return Counter(name, documentation, labels, registry=self._registry)

    def _gauge(self, name: str, documentation: str, labels: Sequence[str] = ()) -> Gauge:
        return Gauge(name, documentation, labels, registry=self._registry)
