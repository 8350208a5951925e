"""Puts the gateway together: each port, what wraps it, and the application's dependencies."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import sqlalchemy as sa
from starlette.concurrency import run_in_threadpool

from serving.gateway.admission import Admission, Callers, Rates
from serving.gateway.backends import ServedModel
from serving.gateway.backends.waiting import MAX_WAITING, MAX_WAITING_BYTES
from serving.gateway.cache import AnswerCache
from serving.gateway.http.limits import MAX_CONNECTIONS
from serving.gateway.http.routes import Gateway
from serving.gateway.ledger_outages import SETTLE_FOR_S
from serving.gateway.ledger_port import GatewayLedger, outages_refused
from serving.gateway.ops.ledger_lag import LedgerLag
from serving.gateway.ops.metrics import Metrics
from serving.gateway.ops.observed import (
    ObservedCache,
    ObservedLedger,
    ObservedModel,
    VersionTally,
)
from serving.gateway.ops.tenants_state import TenantsState
from serving.gateway.ops.tracing import NO_TRACES, Tracer
from serving.gateway.ports import PricesPort, Truncation
from serving.gateway.service import SummaryService
from serving.gateway.tenants import Caller, Tenants
from serving.gateway.usage import usage_of_month
from serving.ledger import Ledger
from serving.ledger.clock import Clock, utc_now
from serving.ledger.group_commit import GroupCommit

_LOG = logging.getLogger(__name__)

MAX_UNDER_WAY: Final = 256
USAGE_CONNECTIONS: Final = 4
"""Of those to the database, how many read usages at a time."""


def open_gateway(
    engine: sa.Engine,
    tenants: Tenants,
    model: ServedModel,
    ledger: Ledger,
    prices: PricesPort,
    rates: Rates,
    metrics: Metrics,
    *,
    cache: AnswerCache | None = None,
    tracer: Tracer = NO_TRACES,
    tally: VersionTally | None = None,
    clock: Clock = utc_now,
    max_under_way: int = MAX_UNDER_WAY,
    settle_for_s: float = SETTLE_FOR_S,
    truncation: Truncation = "auto",
    cors_origins: Sequence[str] = (),
) -> Gateway:
    """A gateway of one model.

    Args:
      tally: of versions, that is written now and then; None: one that is written when it is
        looked at and at the end.
      clock: UTC.
      max_under_way: requests at a time; more are rejected with Retry-After.
      truncation: of texts that are too long, where a request does not say.
      cors_origins: whose pages may call the API from a browser; ``*`` for all.
      settle_for_s: how long a response waits for the ledger while its database is out.
    """
    commits = GroupCommit(ledger)
    observed = ObservedLedger(commits, metrics, tracer)
    tally = VersionTally(engine, clock) if tally is None else tally
    service = SummaryService(
        ObservedModel(model, metrics, tracer, tally),
        GatewayLedger(observed, settle_for_s),
        prices,
        rates,
        ObservedCache(cache, metrics, tracer) if cache is not None else None,
        clock,
        truncation,
    )
    # So few at a time that no tenant's usage takes all connections from the keys of others.
    usage_threads = ThreadPoolExecutor(USAGE_CONNECTIONS, thread_name_prefix="usage")
    metrics.watch(LedgerLag(engine, clock))
    metrics.watch_model(model)
    admission = Admission(max_under_way, model.wait)
    metrics.watch_limits(
        {
            "requests": max_under_way,
            "requests_of_a_tenant": admission.capacity_of_one_tenant,
            "waiting": MAX_WAITING,
            "waiting_bytes": MAX_WAITING_BYTES,
            "connections": MAX_CONNECTIONS,
        }
    )

    def expected(tenants: Sequence[str]) -> None:
        for version in model.expected():
            metrics.expect(tenants, model.name, str(version), prices.currency)

    metrics.before_page(TenantsState(engine, metrics.set_budgets, expected, clock).refresh)

    async def usage(caller: Caller, month: str | None) -> Mapping[str, Any]:
        await rates.admit_read(caller)
        with outages_refused():
            return await asyncio.get_running_loop().run_in_executor(
                usage_threads, usage_of_month, engine, caller, month, clock
            )

    async def readiness() -> Mapping[str, Any]:
        problems = []
        try:
            await run_in_threadpool(ledger.check_writable)
        except sa.exc.SQLAlchemyError as error:
            problems.append(f"The ledger cannot be written: {type(error).__name__}")
        return {
            "status": "not ready" if problems else "ready",
            "problems": problems,
        }

    async def model_servers() -> Mapping[str, Any]:
        problem = await model.problem()
        return {
            "status": "up" if problem is None else "down",
            "problem": problem,
            "requests_waiting": model.wait.waiting,
            "model_servers": model.replicas.described(),
        }

    async def close() -> None:
        await commits.aclose()
        await model.close()
        await rates.close()
        usage_threads.shutdown(wait=False, cancel_futures=True)
        for write in (tenants.write_last_use, tally.write):
            await asyncio.to_thread(_write_the_rest, write)
        if cache is not None:
            await cache.close()
        await asyncio.to_thread(tracer.close)  # it sends what it has

    return Gateway(
        services={model.name: service},
        callers=Callers(tenants, tracer),
        admission=admission,
        metrics=metrics,
        usage=usage,
        readiness=readiness,
        model_servers=model_servers,
        tally=tally,
        tracer=tracer,
        cors_origins=cors_origins,
        on_start=[model.poll],
        on_close=close,
    )


def _write_the_rest(write: Callable[[], None]) -> None:
    """What is not written yet; it is worth no failure of an end in good order."""
    try:
        write()
    except sa.exc.SQLAlchemyError as error:
        _LOG.warning(
            "When keys were used last, or what versions answered, is not written: %s",
            type(error).__name__,
        )
