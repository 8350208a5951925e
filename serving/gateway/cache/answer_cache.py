"""Answers that a model has given already: the same text need not be summarised twice.

An answer is found again only by the same text, under the same limit, from the same version of
the same model with the same metering record (its tokenizer's fingerprint among it), for the
same tenant; all of it is hashed, and no text is kept in a key. What a hit costs is the price
book's matter: its input tokens are ``cached_tokens``, its output tokens are output tokens as
ever.

A cache is never worth a request: whatever is wrong with it is counted, logged and a miss.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any, Final

import orjson

from serving.gateway.cache.store import CacheStore, StoreError
from serving.gateway.ops.metrics import Metrics
from serving.gateway.ports import ServedVersion
from tokenizer.contract import (
    INPUT_TOKENS,
    OUTPUT_TOKENS,
    TOTAL_TOKENS,
    TRUNCATED_TOKENS,
    ContractError,
    MeteredSummary,
)

_LOG = logging.getLogger(__name__)

_COUNTS: Final = (INPUT_TOKENS, OUTPUT_TOKENS, TOTAL_TOKENS, TRUNCATED_TOKENS)
_FIRST_PAUSE_S: Final = 1.0
_LONGEST_PAUSE_S: Final = 30.0


class AnswerCache:
    """Answers of one gateway, or, in Redis, of several."""

    def __init__(
        self,
        store: CacheStore,
        metrics: Metrics,
        shared: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Args:
          shared: a tenant may be given what another one has asked for. Whoever pays for hits
            and misses differently, or measures them, can then tell that a text was asked for
            before.
          clock: seconds, never backwards.
        """
        self._store = store
        self._metrics = metrics
        self._shared = shared
        self._clock = clock
        self._pause_s = 0.0
        self._paused_until = float("-inf")

    async def close(self) -> None:
        await self._store.close()

    async def find(
        self, tenant: str, version: ServedVersion, texts: Sequence[str], limit: int
    ) -> list[MeteredSummary | None]:
        """What is known of each text.

        Args:
          limit: of output tokens for each; 0 for the model's own.
        """
        found: list[bytes | None] = [None] * len(texts)
        if not self._paused():
            try:
                found = await self._store.get(self.keys(tenant, version, texts, limit))
                self._pause_s = 0.0
            except StoreError as error:
                self._failed("read", error)
        return [self._row(value, version) for value in found]

    async def keep(
        self,
        tenant: str,
        version: ServedVersion,
        answers: Sequence[tuple[str, MeteredSummary]],
        limit: int,
    ) -> None:
        """Remember what the model has answered to texts.

        A text without a token is not kept: by its counts nobody could tell a hit from a miss,
        and the ledger's lines could not be held to the model server's requests.
        """
        kept = [(text, row) for text, row in answers if row.input_tokens]
        if not kept or self._paused():
            return
        keys = self.keys(tenant, version, [text for text, _ in kept], limit)
        values = [orjson.dumps(asdict(row)) for _, row in kept]
        try:
            await self._store.put(dict(zip(keys, values, strict=True)))
        except StoreError as error:
            self._failed("write", error)

    def keys(
        self, tenant: str, version: ServedVersion, texts: Sequence[str], limit: int
    ) -> list[bytes]:
        """What answers are found by: equal for equal questions only."""
        most = version.metering.max_output_tokens
        common = hashlib.sha256()
        for part in (
            b"tallygraph answer 1",
            b"all tenants" if self._shared else b"tenant " + tenant.encode(),
            version.model.encode(),
            str(version.number).encode(),
            orjson.dumps(asdict(version.metering), option=orjson.OPT_SORT_KEYS),
            # A limit beyond the model's own changes no answer.
            str(min(limit or most, most)).encode(),
        ):
            # Each with its length: no two requests are one row of bytes.
            common.update(len(part).to_bytes(8, "big") + part)
        keys = []
        for text in texts:
            key = common.copy()
            key.update(text.encode())
            keys.append(key.digest())
        return keys

    def _row(self, value: bytes | None, version: ServedVersion) -> MeteredSummary | None:
        if value is None:
            return None
        try:
            row: Any = orjson.loads(value)
            if not isinstance(row, dict) or any(
                type(row.get(name)) is not int for name in _COUNTS
            ):
                raise ContractError("its counts are not integers")
            summary = MeteredSummary.from_row(row)
            metering = version.metering
            if (
                summary.input_tokens > metering.max_input_tokens
                or summary.output_tokens > metering.max_output_tokens
            ):
                raise ContractError("its counts are above the model's own limits")
            return summary
        except (ContractError, orjson.JSONDecodeError) as error:
            # Its text stays unsaid: it is somebody's summary.
            self._metrics.cache_failed("value")
            _LOG.warning(
                "A cached summary is not valid (%s); the request goes to the model.",
                type(error).__name__,
            )
            return None

    def _paused(self) -> bool:
        return self._clock() < self._paused_until

    def _failed(self, operation: str, error: StoreError) -> None:
        """A store that is gone is left alone for a while, so that nobody waits for it."""
        self._metrics.cache_failed(operation)
        if self._paused():
            return  # it failed several at once: that is one failure
        self._pause_s = min(max(_FIRST_PAUSE_S, 2 * self._pause_s), _LONGEST_PAUSE_S)
        self._paused_until = self._clock() + self._pause_s
        _LOG.warning(
            "The cache cannot be used (%s); requests go to the model. The cache is tried "
            "again in %g s.",
            error,
            self._pause_s,
        )
