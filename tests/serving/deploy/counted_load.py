"""Requests to a gateway, and what their sender counts of them, from the responses alone."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import httpx

from tests.support.command_gateway import CommandGateway

PATH: Final = "/v1/summaries"
MICRO: Final = {"input": 2, "input_cached": 1, "output": 10}
"""What a token costs, by type as the gateway's metrics have it: whole numbers, so that no
charge is rounded."""
PRICES: Final = f"""
currency = "EUR"

[[prices]]
id = "2026"
valid_from = 2020-01-01
model = "summarizer"
plan = "standard"
price_micro_per_1k_input_tokens = {1000 * MICRO["input"]}
price_micro_per_1k_cached_tokens = {1000 * MICRO["input_cached"]}
price_micro_per_1k_output_tokens = {1000 * MICRO["output"]}
"""


@dataclass
class CountedLoad:
    """What clients of one gateway have sent and got.

    Attributes:
      statuses, errors, limited: responses by status, by code, and by the limit that was hit.
      tokens: charged ones, by tenant and type.
      charged: responses that were charged, by tenant.
      hits, misses: texts that the cache knew, and those that the model was asked.
      replays: responses to repeated requests, by tenant.
      seconds: how long each request with status 200 took.
      model_seconds: those of them that the model was asked.
      first_charged_at: Unix time before and after the first one that was charged.
    """

    gateway: CommandGateway
    statuses: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    limited: Counter[str] = field(default_factory=Counter)
    tokens: Counter[tuple[str, str]] = field(default_factory=Counter)
    charged: Counter[str] = field(default_factory=Counter)
    replays: Counter[str] = field(default_factory=Counter)
    hits: int = 0
    misses: int = 0
    seconds: list[float] = field(default_factory=list)
    model_seconds: list[float] = field(default_factory=list)
    first_charged_at: tuple[float, float] | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def ask(
        self, tenant: str, key: str, body: Mapping[str, Any], idempotency_key: str = ""
    ) -> httpx.Response:
        """Send a request on a connection of its own."""
        with self.gateway.client(key) as client:
            return self._ask(client, tenant, body, idempotency_key)

    def ask_all(self, tenant: str, key: str, texts: Sequence[str], clients: int) -> None:
        """Ask for each text once, by so many clients that each wait for their answers."""
        shares = [texts[number::clients] for number in range(clients)]
        with ThreadPoolExecutor(clients) as pool:
            for each in [pool.submit(self._ask_share, tenant, key, share) for share in shares]:
                each.result()

    @contextmanager
    def asking(self, tenant: str, key: str, texts: Sequence[str]) -> Iterator[None]:
        """Ask for all texts at once; they have been answered when the context is left."""
        with ThreadPoolExecutor(len(texts)) as pool:
            bodies = [{"model": "summarizer", "text": text} for text in texts]
            asked = [pool.submit(self.ask, tenant, key, body) for body in bodies]
            yield
            for each in asked:
                each.result()

    def micro(self, tenant: str = "") -> int:
        """What a tenant was charged, in micro-units; without a name, all."""
        return sum(
            tokens * MICRO[kind]
            for (name, kind), tokens in self.tokens.items()
            if tenant in ("", name)
        )

    def by(self, what: Callable[[str, str], str]) -> dict[str, int]:
        """Charged tokens, by something of their tenant and type."""
        found: Counter[str] = Counter()
        for (tenant, kind), tokens in self.tokens.items():
            found[what(tenant, kind)] += tokens
        return dict(found)

    def _ask_share(self, tenant: str, key: str, texts: Sequence[str]) -> None:
        with self.gateway.client(key) as client:
            for text in texts:
                self._ask(client, tenant, {"model": "summarizer", "text": text}, "")

    def _ask(
        self, client: httpx.Client, tenant: str, body: Mapping[str, Any], idempotency_key: str
    ) -> httpx.Response:
        headers = {"Idempotency-Key": idempotency_key} if idempotency_key else {}
        sent_at, sent = time.time(), time.monotonic()
        response = client.post(PATH, json=body, headers=headers)
        took = time.monotonic() - sent
        with self._lock:
            self._count(tenant, response, sent_at, took)
        return response

    def _count(
        self, tenant: str, response: httpx.Response, sent_at: float, took: float
    ) -> None:
        self.statuses[str(response.status_code)] += 1
        if response.status_code != 200:
            code = response.json()["error"]["code"] or response.json()["error"]["type"]
            self.errors[code] += 1
            if code == "insufficient_quota":
                self.limited["budget"] += 1
            return
        self.seconds.append(took)
        if response.headers.get("Idempotent-Replayed"):
            self.replays[tenant] += 1
            return
        usage = response.json()["usage"]
        cached = usage["cached_tokens"]
        self.hits += bool(cached)
        self.misses += not cached
        if not cached:
            self.model_seconds.append(took)
        self.charged[tenant] += 1
        self.tokens[tenant, "input"] += usage["input_tokens"] - cached
        self.tokens[tenant, "input_cached"] += cached
        self.tokens[tenant, "output"] += usage["output_tokens"]
        if self.first_charged_at is None:
            self.first_charged_at = sent_at, sent_at + took
