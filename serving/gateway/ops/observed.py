"""Ports that are watched: metrics, spans, the request's record and what each version answers,
around what they wrap."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import sqlalchemy as sa

from serving.gateway.errors import GatewayError, NoServerUpError
from serving.gateway.ledger_port import LedgerClient
from serving.gateway.ops.metrics import Metrics
from serving.gateway.ops.operations import COUNT_OPERATION, OPERATION, PROVIDER
from serving.gateway.ops.request_record import current
from serving.gateway.ops.tracing import Tracer
from serving.gateway.ports import (
    CachePort,
    ModelPort,
    ModelWaitPort,
    ServedVersion,
    VersionGoneError,
)
from serving.ledger import Entry, Pricing, Replay, Reservation, Reserved, Undelivered, Usage
from serving.ledger.clock import Clock, utc_now
from serving.ledger.daily_versions import VersionCounts, VersionKey, add_version_counts
from tokenizer.contract import MeteredSummary

_MAX_ERROR: Final = 64


class ObservedLedger:
    """Each call to the ledger, which waits for the disk; and what was charged by it."""

    def __init__(self, ledger: LedgerClient, metrics: Metrics, tracer: Tracer) -> None:
        self.delivered = ledger.delivered
        self._ledger = ledger
        self._metrics = metrics
        self._tracer = tracer

    async def reserve(self, reservation: Reservation) -> Reserved | Replay | Undelivered:
        with self._call("reserve"):
            reserved = await self._ledger.reserve(reservation)
        if isinstance(reserved, Replay | Undelivered):
            current().replay_of(reserved.request_id)
            self._metrics.replayed(reservation.tenant)
        return reserved

    async def settle(
        self, request_id: str, usage: Usage, charge: Pricing, answer: bytes
    ) -> Entry:
        with self._call("settle"):
            entry = await self._ledger.settle(request_id, usage, charge, answer)
        current().charged(request_id, usage, entry.amount_micro, entry.currency)
        self._metrics.charged(usage, entry)
        return entry

    async def release(self, request_id: str) -> bool:
        with self._call("release"):
            return await self._ledger.release(request_id)

    async def undelivered(self, request_id: str) -> bool:
        with self._call("undelivered"):
            return await self._ledger.undelivered(request_id)

    @contextmanager
    def _call(self, operation: str) -> Iterator[None]:
        with self._metrics.ledger_call(operation), self._tracer.part(operation):
            yield


class ObservedWait:
    """Each wait for a model server. What does not wait leaves no span."""

    def __init__(self, wait: ModelWaitPort, tracer: Tracer) -> None:
        self.wait_s = wait.wait_s
        self.must_wait = wait.must_wait
        self.abandon = wait.abandon
        self._wait = wait
        self._tracer = tracer

    async def turn(self, request_id: str, tenant: str, size_bytes: int, until: float) -> None:
        if self._wait.must_wait():
            with self._tracer.part("wait"):
                await self._wait.turn(request_id, tenant, size_bytes, until)


class VersionTally:
    """Counts what each version answers and fails at, and writes it down now and then. One for a
    process: it is counted on the event loop and written by other threads."""

    def __init__(self, engine: sa.Engine, clock: Clock = utc_now) -> None:
        """
        Args:
          clock: UTC.
        """
        self._engine = engine
        self._clock = clock
        self._counts: dict[VersionKey, VersionCounts] = {}
        self._lock = threading.Lock()

    def answered(
        self, model: str, version: int, latency_ms: int, summaries: Sequence[MeteredSummary]
    ) -> None:
        """Count a request that a model server has answered."""
        counts = VersionCounts(
            requests=1,
            latency_ms=latency_ms,
            summaries=len(summaries),
            output_tokens=sum(each.output_tokens for each in summaries),
            stopped=sum(each.finish_reason == "stop" for each in summaries),
        )
        self._add(model, version, "", counts)

    def failed(self, model: str, version: int, latency_ms: int, error: str) -> None:
        """Count a request that none has answered.

        Args:
          error: the code that the client gets.
        """
        self._add(model, version, error[:_MAX_ERROR], VersionCounts(1, latency_ms))

    def write(self) -> None:
        """Write what was counted since the last time, in one transaction.

        Raises:
          sqlalchemy.exc.SQLAlchemyError: it cannot be written now, and is kept for next time.
        """
        with self._lock:
            counts, self._counts = self._counts, {}
        if not counts:
            return
        try:
            add_version_counts(self._engine, counts)
        except sa.exc.SQLAlchemyError:
            with self._lock:
                for key, each in counts.items():
                    self._counts[key] = self._counts.get(key, VersionCounts()) + each
            raise

    def _add(self, model: str, version: int, error: str, counts: VersionCounts) -> None:
        key = VersionKey(self._clock().date().isoformat(), model, str(version), error)
        with self._lock:
            self._counts[key] = self._counts.get(key, VersionCounts()) + counts


class ObservedModel:
    """Each request to the model's servers."""

    def __init__(
        self, model: ModelPort, metrics: Metrics, tracer: Tracer, tally: VersionTally
    ) -> None:
        self.name = model.name
        self.deadline = model.deadline
        self.version = model.version
        self.wait = ObservedWait(model.wait, tracer)
        self._model = model
        self._metrics = metrics
        self._tracer = tracer
        self._tally = tally

    async def summarize(
        self, version: ServedVersion, texts: Sequence[str], limit: int, deadline: float
    ) -> list[MeteredSummary]:
        attributes: dict[str, str | int] = {
            "gen_ai.operation.name": OPERATION,
            "gen_ai.provider.name": PROVIDER,
            "gen_ai.request.model": version.model,
            "gen_ai.response.model": version.full_name,
            "gen_ai.request.max_tokens": limit or version.metering.max_output_tokens,
            "tallygraph.texts": len(texts),
        }
        started = time.monotonic()
        with self._metrics.model_call(version.model), self._tracer.part("model", attributes):
            try:
                found = await self._model.summarize(version, texts, limit, deadline)
            except (VersionGoneError, NoServerUpError):
                raise  # nothing was computed: it says nothing of the version
            except Exception as error:
                code = (error.code if isinstance(error, GatewayError) else None) or (
                    type(error).__name__
                )
                self._tally.failed(version.model, version.number, _ms_since(started), code)
                raise
        self._tally.answered(version.model, version.number, _ms_since(started), found)
        return found

    async def count(self, tenant: str, texts: Sequence[str]) -> list[tuple[int, int]]:
        attributes: dict[str, str | int] = {
            "gen_ai.operation.name": COUNT_OPERATION,
            "gen_ai.provider.name": PROVIDER,
            "gen_ai.request.model": self.name,
            "tallygraph.texts": len(texts),
        }
        with (
            self._metrics.model_call(self.name, COUNT_OPERATION),
            self._tracer.part("count", attributes),
        ):
            return await self._model.count(tenant, texts)


def _ms_since(started: float) -> int:
    return round(1000 * (time.monotonic() - started))


class ObservedCache:
    """Each look into the cache, and how many texts it knew."""

    def __init__(self, cache: CachePort, metrics: Metrics, tracer: Tracer) -> None:
        self.keys = cache.keys
        self.keep = cache.keep
        self._cache = cache
        self._metrics = metrics
        self._tracer = tracer

    async def find(
        self, tenant: str, version: ServedVersion, texts: Sequence[str], limit: int
    ) -> list[MeteredSummary | None]:
        with self._tracer.part("cache"):
            rows = await self._cache.find(tenant, version, texts, limit)
        hits = sum(row is not None for row in rows)
        self._metrics.cache_read(hits, len(rows) - hits)
        return rows
