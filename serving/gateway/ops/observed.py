"""Ports that are watched: metrics, spans and the request's record, around what they wrap."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from serving.gateway.ledger_port import LedgerClient
from serving.gateway.ops.metrics import Metrics
from serving.gateway.ops.operations import COUNT_OPERATION, OPERATION, PROVIDER
from serving.gateway.ops.request_record import current
from serving.gateway.ops.tracing import Tracer
from serving.gateway.ports import CachePort, ModelPort, ModelWaitPort, ServedVersion
from serving.ledger import Entry, Pricing, Replay, Reservation, Reserved, Undelivered, Usage
from tokenizer.contract import MeteredSummary


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


class ObservedModel:
    """Each request to the model's servers."""

    def __init__(self, model: ModelPort, metrics: Metrics, tracer: Tracer) -> None:
        self.name = model.name
        self.deadline = model.deadline
        self.version = model.version
        self.wait = ObservedWait(model.wait, tracer)
        self._model = model
        self._metrics = metrics
        self._tracer = tracer

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
        with self._metrics.model_call(version.model), self._tracer.part("model", attributes):
            return await self._model.summarize(version, texts, limit, deadline)

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
