"""Asks the model for a caller, and charges for it: once, and what it counted.

What is written, and when: the most that the request can cost is reserved before the model is
asked. The answer leaves only after the ledger has the charge, and the answer, in one
transaction. So whoever has an answer has been charged for it, and whoever was charged can have
the answer again by its idempotency key. A client that hangs up is charged all the same once the
model has been asked: the work is done, and the answer kept.

What the cache answers is reserved, charged and written down as what the model answers: its
input tokens as cached ones, its output tokens as output, for the caller gets the same summary.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from serving.billing import Price, PriceBook, PriceBookError
from serving.gateway.backend import ServedModel, ServedVersion, VersionGoneError
from serving.gateway.cache import AnswerCache
from serving.gateway.errors import GatewayError, overloaded
from serving.gateway.flights import Flight, Flights
from serving.gateway.ledger_outages import OUTAGES, SETTLE_FOR_S, Returns, through_outages
from serving.gateway.ledger_refusals import refusals_told
from serving.gateway.metrics import OPERATION, Metrics
from serving.gateway.questions import Answered, Question, Render
from serving.gateway.rates import Rates
from serving.gateway.request_record import current
from serving.gateway.tenants import Caller
from serving.gateway.tracing import NO_TRACES, Tracer
from serving.ledger import (
    Entry,
    Ledger,
    Replay,
    Reservation,
    Usage,
)
from serving.ledger.clock import Clock, utc_now
from serving.ledger.grouped import GroupedLedger
from serving.ledger.work import work_hash
from tokenizer.contract import MeteredSummary

T = TypeVar("T")

_UNLOADED_ATTEMPTS = 3


class ChargedModel:
    """A model that is asked for money."""

    def __init__(
        self,
        model: ServedModel,
        ledger: Ledger,
        prices: PriceBook,
        rates: Rates,
        metrics: Metrics,
        clock: Clock = utc_now,
        cache: AnswerCache | None = None,
        tracer: Tracer = NO_TRACES,
        settle_for_s: float = SETTLE_FOR_S,
    ) -> None:
        """
        Args:
          clock: UTC.
          cache: of answers; None for none.
          settle_for_s: how long an answer waits for the ledger, while its database is out.
        """
        self.model = model
        self._cache = cache
        self._tracer = tracer
        self._metrics = metrics
        self._rates = rates
        self._ledger = GroupedLedger(ledger)
        self._returns = Returns()
        self._flights = Flights()
        self._prices = prices
        self._clock = clock
        self._settle_for_s = settle_for_s

    async def ask(self, caller: Caller, question: Question, render: Render) -> bytes:
        """Answer a question, or give its answer again.

        Args:
          render: makes the body of the answer, which is kept.

        Raises:
          GatewayError: what the client is told. Nothing is charged.
        """
        # The client may go away: the task goes on, so that nothing is left half-way.
        task = asyncio.ensure_future(self._ask(caller, question, render))
        return await asyncio.shield(task)

    async def _ask(self, caller: Caller, question: Question, render: Render) -> bytes:
        started = time.monotonic()
        await self._rates.admit(caller)
        version = await self.model.version(caller.tenant)
        price = self._price(caller)
        request_id = uuid.uuid4().hex

        async def release() -> None:
            with self._ledger_asked("release"):
                await self._ledger.release(request_id)

        async def settle() -> Entry:
            with self._ledger_asked("settle"):
                return await self._ledger.settle(request_id, usage, pricing, answer)

        try:
            reserved = await self._reserve(caller, question, request_id, version, price)
        except OUTAGES:
            # Nobody knows whether it was written: if so, it must not stay.
            self._returns.give_back_later(request_id, release)
            raise
        if isinstance(reserved, Replay):
            current().replay_of(reserved.request_id)
            self._metrics.replayed(caller)
            return reserved.answer
        flight = Flight(self._flights)
        try:
            answered = await self._summarize(caller, version, question, request_id, flight)
            answer = render(answered)
            usage = _usage(question, answered, round((time.monotonic() - started) * 1000))
            pricing = self._prices.pricing(price)
            # Settling twice is settling once; and the work is done, whatever the database does.
            entry = await through_outages(settle, self._settle_for_s)
        except BaseException:
            flight.end()
            # Whatever it was: the client gets no answer, and owes nothing.
            await self._returns.give_back(request_id, release)
            raise
        try:
            current().charged(request_id, usage, entry.amount_micro, entry.currency)
            self._metrics.charged(caller, usage, entry)
            await self._rates.used(caller, usage.input_tokens + usage.output_tokens)
            await self._remember(caller, question, answered)
        finally:
            flight.end()
        return answer

    async def _reserve(
        self,
        caller: Caller,
        question: Question,
        request_id: str,
        version: ServedVersion,
        price: Price,
    ) -> object:
        most = price.most_micro(
            version.metering.max_input_tokens * len(question.texts),
            version.metering.max_output_tokens * len(question.texts),
        )
        reservation = Reservation(
            request_id=request_id,
            tenant=caller.tenant,
            amount_micro=most,
            request_hash=hashlib.sha256(question.request).hexdigest(),
            budget_micro=caller.limits.budget_micro,
            max_concurrent=caller.limits.max_concurrent,
            idempotency_key=question.idempotency_key,
        )
        with refusals_told(), self._ledger_asked("reserve"):
            return await self._ledger.reserve(reservation)

    async def _summarize(
        self,
        caller: Caller,
        version: ServedVersion,
        question: Question,
        request_id: str,
        flight: Flight,
    ) -> Answered:
        """Ask the version that answers now, or the one that has taken its place; but only what
        the cache does not know of that version."""
        deadline = self.model.deadline()
        for _ in range(_UNLOADED_ATTEMPTS):
            rows = await self._cached(caller, version, question, flight, deadline)
            cached_tokens = [row.input_tokens if row else 0 for row in rows]
            missing = _missing(question.texts, rows)
            try:
                asked = iter(
                    await self._ask_model(version, missing, question, deadline)
                    if missing
                    else []
                )
            except VersionGoneError:
                version = await self.model.version(caller.tenant, fresh=True)
                continue
            summaries = [row or next(asked) for row in rows]
            return Answered(request_id, version, summaries, cached_tokens)
        raise overloaded("The model's versions change too fast. Try again in a moment.")

    async def _ask_model(
        self, version: ServedVersion, texts: list[str], question: Question, deadline: float
    ) -> list[MeteredSummary]:
        limit = question.max_output_tokens
        attributes: dict[str, str | int] = {
            "gen_ai.operation.name": OPERATION,
            "gen_ai.request.model": version.model,
            "gen_ai.response.model": f"{version.model}-{version.number}",
            "gen_ai.request.max_tokens": limit or version.metering.max_output_tokens,
            "tallygraph.texts": len(texts),
        }
        with self._metrics.model_asked(version.model), self._tracer.part("model", attributes):
            return await self.model.summarize(version, texts, limit, deadline)

    @contextmanager
    def _ledger_asked(self, operation: str) -> Iterator[None]:
        """While the ledger is asked, which waits for the disk."""
        with self._metrics.ledger_asked(operation), self._tracer.part(operation):
            yield

    async def _cached(
        self,
        caller: Caller,
        version: ServedVersion,
        question: Question,
        flight: Flight,
        deadline: float,
    ) -> list[MeteredSummary | None]:
        """What need not be asked; the rest nobody else asks meanwhile, as far as can be."""
        if self._cache is None:
            return [None] * len(question.texts)
        of = caller.tenant, version, question.texts, question.max_output_tokens
        keys = self._cache.keys(*of)
        with self._tracer.part("cache"):
            rows = await self._cache.find(*of)
            if await flight.wait_for_others(_missing(keys, rows), deadline):
                rows = await self._cache.find(*of)
        flight.begin(_missing(keys, rows))
        return rows

    async def _remember(self, caller: Caller, question: Question, answered: Answered) -> None:
        """Keep what the model was asked for. It is charged for by now."""
        if self._cache is None:
            return
        rows = zip(question.texts, answered.summaries, answered.cached_tokens, strict=True)
        fresh = [(text, summary) for text, summary, cached in rows if not cached]
        await self._cache.keep(
            caller.tenant, answered.version, fresh, question.max_output_tokens
        )

    def _price(self, caller: Caller) -> Price:
        try:
            return self._prices.price(self.model.name, caller.plan, self._clock().date())
        except PriceBookError as error:
            raise GatewayError(403, str(error), "permission_error", "no_price") from None


def _missing(each: Sequence[T], rows: Sequence[MeteredSummary | None]) -> list[T]:
    """Those without an answer."""
    return [one for one, row in zip(each, rows, strict=True) if row is None]


def _usage(question: Question, answered: Answered, latency_ms: int) -> Usage:
    version, summaries = answered.version, answered.summaries
    asked = [
        text
        for text, cached in zip(question.texts, answered.cached_tokens, strict=True)
        if not cached
    ]
    return Usage(
        model=version.model,
        model_version=str(version.number),
        tokenizer_fingerprint=version.metering.tokenizer_fingerprint,
        contract_version=version.metering.contract_version,
        input_tokens=sum(each.input_tokens for each in summaries),
        cached_tokens=sum(answered.cached_tokens),
        output_tokens=sum(each.output_tokens for each in summaries),
        finish_reasons=",".join(sorted({each.finish_reason for each in summaries})),
        latency_ms=latency_ms,
        # Of what the model was asked: that is what its server can have logged.
        work_hash=work_hash(asked, [question.max_output_tokens] * len(asked)) if asked else "",
    )
