"""Asks the model for a caller, and charges for it: once, and what it counted.

What is written, and when: the most that the request can cost is reserved before the model is
asked. The answer leaves only after the ledger has the charge, and the answer, in one
transaction. So whoever has an answer has been charged for it, and whoever was charged can have
the answer again by its idempotency key. A client that hangs up is charged all the same once the
model has been asked: the work is done, and the answer kept.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from serving.billing import Price, PriceBook, PriceBookError
from serving.gateway.backend import ServedModel, ServedVersion, VersionGoneError
from serving.gateway.errors import GatewayError, overloaded
from serving.gateway.metrics import Metrics
from serving.gateway.rates import Rates
from serving.gateway.tenants import Caller
from serving.ledger import (
    BudgetExceededError,
    IdempotencyConflictError,
    Ledger,
    Replay,
    RequestInProgressError,
    Reservation,
    TooManyAtOnceError,
    Usage,
)
from serving.ledger.ledger import Clock, utc_now
from serving.ledger.work import work_hash
from tokenizer.contract import MeteredSummary

T = TypeVar("T")

_UNLOADED_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Question:
    """What a caller asks of a model.

    Attributes:
      texts: to be summarised, at least one.
      max_output_tokens: for each at most; 0 for the model's own limit.
      request: as it came: with the same key, the same must come again.
      idempotency_key: the caller's; None for none.
    """

    texts: Sequence[str]
    max_output_tokens: int
    request: bytes
    idempotency_key: str | None = None


@dataclass(frozen=True, slots=True)
class Answered:
    """A model's answer to a question, before it is put into an API's shape."""

    request_id: str
    version: ServedVersion
    summaries: list[MeteredSummary]


Render = Callable[[Answered], bytes]


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
    ) -> None:
        self.model = model
        self._metrics = metrics
        self._rates = rates
        self._ledger = ledger
        self._prices = prices
        self._clock = clock

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
        reserved = await self._reserve(caller, question, request_id, version, price)
        if isinstance(reserved, Replay):
            return reserved.answer
        try:
            version, summaries = await self._summarize(caller, version, question)
            answer = render(Answered(request_id, version, summaries))
            work = work_hash(question.texts, [question.max_output_tokens] * len(summaries))
            latency_ms = round((time.monotonic() - started) * 1000)
            usage = _usage(version, summaries, latency_ms, work)
            pricing = self._prices.pricing(price)
            entry = await _in_thread(
                lambda: self._ledger.settle(request_id, usage, pricing, answer)
            )
        except BaseException:
            # Whatever it was: the client gets no answer, and owes nothing.
            await _in_thread(lambda: self._ledger.release(request_id))
            raise
        self._metrics.charged(caller, usage, entry)
        await self._rates.used(caller, usage.input_tokens + usage.output_tokens)
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
        try:
            return await _in_thread(lambda: self._ledger.reserve(reservation))
        except BudgetExceededError as error:
            raise GatewayError(
                429, str(error), "insufficient_quota", "insufficient_quota"
            ) from None
        except TooManyAtOnceError as error:
            raise GatewayError(
                429, str(error), "rate_limit_error", "too_many_at_once", retry_after_s=1
            ) from None
        except IdempotencyConflictError as error:
            raise GatewayError(
                409, str(error), code="idempotency_key_reused", param="Idempotency-Key"
            ) from None
        except RequestInProgressError as error:
            raise GatewayError(
                409, str(error), code="request_in_progress", retry_after_s=1
            ) from None

    async def _summarize(
        self, caller: Caller, version: ServedVersion, question: Question
    ) -> tuple[ServedVersion, list[MeteredSummary]]:
        """Ask the version that answers now, or the one that has taken its place."""
        deadline = self.model.deadline()
        for _ in range(_UNLOADED_ATTEMPTS):
            try:
                return version, await self.model.summarize(
                    version, question.texts, question.max_output_tokens, deadline
                )
            except VersionGoneError:
                version = await self.model.version(caller.tenant, fresh=True)
        raise overloaded("The model's versions change too fast. Try again in a moment.")

    def _price(self, caller: Caller) -> Price:
        try:
            return self._prices.price(self.model.name, caller.plan, self._clock().date())
        except PriceBookError as error:
            raise GatewayError(403, str(error), "permission_error", "no_price") from None


def _usage(
    version: ServedVersion, summaries: list[MeteredSummary], latency_ms: int, work: str
) -> Usage:
    return Usage(
        model=version.model,
        model_version=str(version.number),
        tokenizer_fingerprint=version.metering.tokenizer_fingerprint,
        contract_version=version.metering.contract_version,
        input_tokens=sum(each.input_tokens for each in summaries),
        cached_tokens=0,
        output_tokens=sum(each.output_tokens for each in summaries),
        finish_reasons=",".join(sorted({each.finish_reason for each in summaries})),
        latency_ms=latency_ms,
        work_hash=work,
    )


async def _in_thread(work: Callable[[], T]) -> T:
    """Run what waits for the database off the event loop, to its end in any case."""
    return await asyncio.shield(asyncio.ensure_future(asyncio.to_thread(work)))
