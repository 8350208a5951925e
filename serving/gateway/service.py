"""Sells summaries of one model: the whole way of a request, in its order.

::

    admit → price → reserve → (cached | infer) → render → settle → remember

A request that finds no model server up waits for one first, with nothing reserved.

What is written, and when: the most that the request can cost is reserved before the model is
asked. The response leaves only after the ledger has the charge, and the response, in one
transaction. So whoever has a response has been charged for it, and whoever was charged can get
the response again: by its idempotency key, or, where it could not be delivered, by the same
request. A client that hangs up is charged all the same once the model has been asked: the work
is done, and the response kept.

What the cache answers is reserved, charged and recorded as what the model answers: its input
tokens as cached ones, its output tokens as output, for the caller gets the same summary.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Sequence
from dataclasses import replace

from serving.billing import Price, PriceBookError
from serving.gateway.errors import GatewayError, bad_request
from serving.gateway.inference import Inference
from serving.gateway.ports import (
    CachePort,
    LedgerPort,
    ModelPort,
    PricesPort,
    RatesPort,
    Render,
    ServedVersion,
    SummaryRequest,
    SummaryResponse,
    SummaryResult,
    Truncation,
)
from serving.gateway.tenants import Caller
from serving.ledger import Replay, Reservation, Undelivered, Usage
from serving.ledger.clock import Clock, utc_now
from serving.ledger.work import work_hash


class SummaryService:
    """A model whose summaries are charged for."""

    def __init__(
        self,
        model: ModelPort,
        ledger: LedgerPort,
        prices: PricesPort,
        rates: RatesPort,
        cache: CachePort | None = None,
        clock: Clock = utc_now,
        truncation: Truncation = "auto",
    ) -> None:
        """
        Args:
          cache: None for none.
          clock: UTC; which price is valid.
          truncation: of texts that are too long, where a request does not say.
        """
        self._model = model
        self._inference = Inference(model, cache)
        self._ledger = ledger
        self._prices = prices
        self._rates = rates
        self._clock = clock
        self.truncation = truncation

    async def summarize(
        self, caller: Caller, request: SummaryRequest, render: Render
    ) -> SummaryResponse:
        """Answer a request, or repeat the response that it got before.

        Args:
          render: makes the body of the response, which is kept.

        Raises:
          GatewayError: what the client gets instead. Nothing is charged.
        """
        return await asyncio.shield(self.begin(caller, request, render))

    def begin(
        self, caller: Caller, request: SummaryRequest, render: Render
    ) -> asyncio.Task[SummaryResponse]:
        """The same as a task, which goes on whatever becomes of the client, so that nothing is
        left half-way: do not cancel it."""
        return asyncio.create_task(self._sell(caller, request, render))

    def delivered(self, request_id: str) -> None:
        """The client has an answer that it asked for without an idempotency key."""
        self._ledger.delivered(request_id)

    async def undelivered(self, request_id: str) -> None:
        """The client of a request without an idempotency key went away: its answer, which may
        still be computed, belongs to the next identical request, and is not charged again. A
        request that was waiting for a model server is given up."""
        if not self._inference.abandon(request_id):
            await self._ledger.undelivered(request_id)

    async def count(self, caller: Caller, texts: Sequence[str]) -> list[tuple[int, int]]:
        """Input and truncated tokens of each text, without a summary and without a charge.

        Raises:
          GatewayError: no model server answers.
        """
        await self._rates.admit_read(caller)
        return await self._inference.count(caller, texts, self._inference.until())

    async def _sell(
        self, caller: Caller, request: SummaryRequest, render: Render
    ) -> SummaryResponse:
        started = time.monotonic()
        quota = await self._rates.admit(caller)
        until = self._inference.until()
        await self._inference.ready(caller, request, until)
        version = await self._model.version(caller.tenant)
        await self._check_lengths(caller, request, version, until)
        price = self._price(caller)
        reservation = _reservation(caller, request, version, price)
        reserved = await self._ledger.reserve(reservation)
        quota = replace(quota, key_budget=reserved.key_budget)
        if isinstance(reserved, Replay):
            return SummaryResponse(reserved.answer, quota, reserved.request_id, replayed=True)
        if isinstance(reserved, Undelivered):
            return SummaryResponse(
                reserved.answer, quota, reserved.request_id, redelivered=True
            )
        with self._inference.claim() as claim:
            try:
                result = await self._inference.summarize(
                    caller, request, version, reserved.request_id, claim, until
                )
                self._check_truncation(request, result)
                response = render(result)
                usage = _usage(request, result, round((time.monotonic() - started) * 1000))
                pricing = self._prices.pricing(price)
                entry = await self._ledger.settle(reserved.request_id, usage, pricing, response)
            except BaseException:
                # Whatever it was: the client gets no summary, and owes nothing.
                claim.end()
                await self._ledger.release(reserved.request_id)
                raise
            await self._rates.used(caller, usage.input_tokens + usage.output_tokens)
            await self._inference.remember(caller, request, result)
        if (budget := reserved.key_budget) is not None:
            quota = replace(quota, key_budget=budget.after(entry.amount_micro))
        return SummaryResponse(response, quota, reserved.request_id)

    async def _check_lengths(
        self, caller: Caller, request: SummaryRequest, version: ServedVersion, until: float
    ) -> None:
        """Refuse texts that would be cut off, where that is not wanted, before anything is
        computed. Only texts that may be too long are counted."""
        most = version.metering.max_input_tokens
        if self._cuts(request) or all(most_tokens(text) <= most for text in request.texts):
            return
        for read, cut in await self._inference.count(caller, request.texts, until):
            if cut:
                raise _too_long(read, cut)

    def _check_truncation(self, request: SummaryRequest, result: SummaryResult) -> None:
        """The same of what was computed: another version may have taken the place of the one
        that counted."""
        for each in result.summaries:
            if each.truncated_tokens and not self._cuts(request):
                raise _too_long(each.input_tokens, each.truncated_tokens)

    def _cuts(self, request: SummaryRequest) -> bool:
        return (request.truncation or self.truncation) == "auto"

    def _price(self, caller: Caller) -> Price:
        try:
            return self._prices.price(self._model.name, caller.plan, self._clock().date())
        except PriceBookError as error:
            raise GatewayError(403, str(error), "permission_error", "no_price") from None


def _reservation(
    caller: Caller, request: SummaryRequest, version: ServedVersion, price: Price
) -> Reservation:
    """The most that a request can cost: by the lengths of its texts and its limit."""
    metering = version.metering
    reads = sum(min(most_tokens(text), metering.max_input_tokens) for text in request.texts)
    limit = request.max_output_tokens or metering.max_output_tokens
    writes = min(limit, metering.max_output_tokens) * len(request.texts)
    return Reservation(
        request_id=request.request_id,
        tenant=caller.tenant,
        amount_micro=price.most_micro(reads, writes),
        request_hash=hashlib.sha256(request.identity).hexdigest(),
        budget_micro=caller.limits.budget_micro,
        max_concurrent=caller.limits.max_concurrent,
        idempotency_key=request.idempotency_key,
        route=request.route,
        key_id=caller.key_id,
        key_budget_micro=caller.key_budget_micro,
    )


def most_tokens(text: str) -> int:
    """The most tokens that a text can be, in any vocabulary.

    Each id stands for at least one byte of what the tokenizer has made of the text, or for a
    space that it has put before a word or a token that is added to the vocabulary: at most two
    for an ASCII character. Unicode's normal forms make at most 11 bytes of one (U+FDFA), and
    such a space may come with each. Then one for the space before the text.
    """
    ascii_characters = len(text.encode("ascii", "ignore"))
    other_bytes = len(text.encode("utf-8", "surrogatepass")) - ascii_characters
    return 2 * ascii_characters + 12 * other_bytes + 2


def _too_long(read: int, cut: int) -> GatewayError:
    return bad_request(
        f"The model reads at most {read} tokens of a text, and this one has {read + cut}. "
        f"Shorten it by {cut} tokens, or send truncation: auto to have it cut off.",
        "truncation",
        "context_length_exceeded",
    )


def _usage(request: SummaryRequest, result: SummaryResult, latency_ms: int) -> Usage:
    version, summaries = result.version, result.summaries
    inferred = [
        text
        for text, cached in zip(request.texts, result.cached_tokens, strict=True)
        if not cached
    ]
    limits = [request.max_output_tokens] * len(inferred)
    return Usage(
        model=version.model,
        model_version=str(version.number),
        tokenizer_fingerprint=version.metering.tokenizer_fingerprint,
        contract_version=version.metering.contract_version,
        input_tokens=sum(each.input_tokens for each in summaries),
        cached_tokens=sum(result.cached_tokens),
        output_tokens=sum(each.output_tokens for each in summaries),
        finish_reasons=",".join(sorted({each.finish_reason for each in summaries})),
        latency_ms=latency_ms,
        # Of what the model was asked: that is what its server can have logged.
        work_hash=work_hash(inferred, limits) if inferred else "",
    )
