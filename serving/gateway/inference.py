"""Summaries of texts, cached or inferred; what has to be computed waits for a model server.

Identical requests that arrive together are computed once: the first claims its texts until its
answer is charged for and cached; whoever comes meanwhile looks in the cache again when it is
over, and is charged for a hit. Where the first came to nothing (the model failed, the cache
keeps no such answer), each computes for itself: nobody waits twice.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final, TypeVar

from serving.gateway.errors import GatewayError, NoServerUpError, overloaded
from serving.gateway.ports import (
    CachePort,
    ModelPort,
    ServedVersion,
    SummaryRequest,
    SummaryResult,
    VersionGoneError,
)
from serving.gateway.tenants import Caller
from tokenizer.contract import MeteredSummary

T = TypeVar("T")

_VERSION_ATTEMPTS: Final = 3
_CHANGES_TOO_FAST: Final = "The model's versions change too fast. Try again in a moment."


class Inference:
    """A model and its cache. For one event loop."""

    def __init__(self, model: ModelPort, cache: CachePort | None) -> None:
        """
        Args:
          cache: None for none.
        """
        self._model = model
        self._wait = model.wait
        self._cache = cache
        self._computing: dict[bytes, asyncio.Event] = {}

    def until(self) -> float:
        """Until when a request that begins now may wait for a server, as
        ``time.monotonic()``."""
        return time.monotonic() + self._wait.wait_s

    async def ready(self, caller: Caller, request: SummaryRequest, until: float) -> None:
        """Return when a server is up for the request, or none is needed.

        Raises:
          GatewayError: none was in time, too many wait, or the client went away.
        """
        if self._wait.must_wait() and not await self._all_cached(caller, request):
            await self._turn(caller, request, until)

    def abandon(self, request_id: str) -> bool:
        """The client went away: whether its request was waiting, which it no longer does."""
        return self._wait.abandon(request_id)

    async def count(
        self, caller: Caller, texts: Sequence[str], until: float
    ) -> list[tuple[int, int]]:
        """See `ModelPort.count`; a server is waited for.

        Raises:
          GatewayError: as `ready`, or no server answers.
        """
        request_id = uuid.uuid4().hex
        size_bytes = sum(map(len, texts))
        while True:
            await self._wait.turn(request_id, caller.tenant, size_bytes, until)
            try:
                return await self._model.count(caller.tenant, texts)
            except NoServerUpError:
                if time.monotonic() >= until:
                    raise

    @contextmanager
    def claim(self) -> Iterator[Claim]:
        """The claim of one request; it ends with the context."""
        claim = Claim(self._computing)
        try:
            yield claim
        finally:
            claim.end()

    async def summarize(
        self,
        caller: Caller,
        request: SummaryRequest,
        version: ServedVersion,
        request_id: str,
        claim: Claim,
        until: float,
    ) -> SummaryResult:
        """Summaries by the version that serves now, or the one that has taken its place; the
        model is asked only for what the cache does not have of that version. Where the last
        server has just gone, the next one is waited for, with what is reserved.

        Raises:
          GatewayError: no server answers, or not as a metered model does.
        """
        deadline = self._model.deadline()
        failure: GatewayError | None = None
        for _ in range(_VERSION_ATTEMPTS):
            rows = await self._cached(caller, version, request, claim, deadline)
            missing = _without_answer(request.texts, rows)
            try:
                inferred = iter(
                    await self._model.summarize(
                        version, missing, request.max_output_tokens, deadline
                    )
                    if missing
                    else []
                )
            except VersionGoneError:
                version = await self._model.version(caller.tenant, fresh=True)
                continue
            except NoServerUpError as error:
                if time.monotonic() >= until:
                    raise
                failure = error
                await self._turn(caller, request, until)
                version = await self._model.version(caller.tenant, fresh=True)
                deadline = self._model.deadline()
                continue
            summaries = [row or next(inferred) for row in rows]
            cached_tokens = [row.input_tokens if row else 0 for row in rows]
            return SummaryResult(request_id, version, summaries, cached_tokens)
        raise failure or overloaded(_CHANGES_TOO_FAST)

    async def remember(
        self, caller: Caller, request: SummaryRequest, result: SummaryResult
    ) -> None:
        """Cache what the model computed. It is charged for by now."""
        if self._cache is None:
            return
        rows = zip(request.texts, result.summaries, result.cached_tokens, strict=True)
        fresh = [(text, summary) for text, summary, cached in rows if not cached]
        await self._cache.keep(caller.tenant, result.version, fresh, request.max_output_tokens)

    async def _turn(self, caller: Caller, request: SummaryRequest, until: float) -> None:
        size_bytes = len(request.identity)
        await self._wait.turn(request.request_id, caller.tenant, size_bytes, until)

    async def _all_cached(self, caller: Caller, request: SummaryRequest) -> bool:
        """Whether the request can be answered without a model server."""
        if self._cache is None:
            return False
        try:
            version = await self._model.version(caller.tenant)
        except NoServerUpError:
            return False
        of = caller.tenant, version, request.texts, request.max_output_tokens
        return None not in await self._cache.find(*of)

    async def _cached(
        self,
        caller: Caller,
        version: ServedVersion,
        request: SummaryRequest,
        claim: Claim,
        deadline: float,
    ) -> list[MeteredSummary | None]:
        """What need not be computed. The rest is claimed, so that nobody else computes it."""
        if self._cache is None:
            return [None] * len(request.texts)
        of = caller.tenant, version, request.texts, request.max_output_tokens
        keys = self._cache.keys(*of)
        rows = await self._cache.find(*of)
        if await claim.wait_for_others(_without_answer(keys, rows), deadline):
            rows = await self._cache.find(*of)
        claim.begin(_without_answer(keys, rows))
        return rows


class Claim:
    """The texts that one request computes, for itself and for others."""

    def __init__(self, computing: dict[bytes, asyncio.Event]) -> None:
        """
        Args:
          computing: what is being computed, by the keys of the cache.
        """
        self._computing = computing
        self._over = asyncio.Event()

    async def wait_for_others(self, keys: Iterable[bytes], deadline: float) -> bool:
        """Wait until no other request computes one of these keys any more.

        Args:
          deadline: no longer than until then, as ``time.monotonic()``.

        Returns:
          Whether another request did.
        """
        others = {self._computing.get(key, self._over) for key in keys} - {self._over}
        try:
            async with asyncio.timeout(deadline - time.monotonic()):
                for other in others:
                    await other.wait()
        except TimeoutError:
            pass  # the model decides what becomes of the request
        return bool(others)

    def begin(self, keys: Iterable[bytes]) -> None:
        """From now on others wait for the answers to these keys."""
        for key in keys:
            self._computing.setdefault(key, self._over)

    def end(self) -> None:
        """The answers are cached, or there are none."""
        for key in [key for key, over in self._computing.items() if over is self._over]:
            del self._computing[key]
        self._over.set()


def _without_answer(each: Sequence[T], rows: Sequence[MeteredSummary | None]) -> list[T]:
    return [one for one, row in zip(each, rows, strict=True) if row is None]
