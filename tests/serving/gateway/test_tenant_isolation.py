"""Tenants in any order of requests: none reads, replays, exhausts or pays for another.

What each tenant must have is worked out here by plain arithmetic, and held against its
``/v1/usage`` and the ledger after every step.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import httpx
import orjson
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from serving.engines import RunningServer
from serving.gateway.tenants import Limits
from serving.ledger import schema
from serving.ledger.database import open_database
from serving.ledger.verification import verify
from tests.support.fresh_ledger import sqlite_ledger
from tests.support.running_gateway import DEADLINE_S, MOST_MICRO, RunningGateway, gateway_on
from tests.support.sizes import sized
from tests.support.tenants import add_key, add_tenant, revoke

EXAMPLES = sized(quick=3, long=25)
STEPS = 30
SEED = 20261125
LIMITS = {
    "free": Limits(),
    "poor": Limits(budget_micro=4 * MOST_MICRO + 7),
    "slow": Limits(requests_per_minute=5),
    "terse": Limits(tokens_per_minute=25),
}
# Every tenant uses the same ones.
KEY_NAMES = st.sampled_from([None, None, "k1", "k2"])
WORDS = st.integers(1, 10)
TENANTS = st.sampled_from(sorted(LIMITS))


@dataclass
class Key:
    """An API key, and what it must be good for."""

    secret: str
    may_ask: bool
    revoked: bool = False


@dataclass
class Expected:
    """A tenant, and what it must have used.

    Attributes:
      answers: by idempotency key: how many words were asked for, and the answer.
      requests: that were let in by a limit of requests a minute, of which none is over.
    """

    name: str
    limits: Limits
    keys: list[Key] = field(default_factory=list)
    input_tokens: int = 0
    output_tokens: int = 0
    amount_micro: int = 0
    entries: int = 0
    answers: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    request_ids: set[str] = field(default_factory=set)
    requests: int = 0

    def text(self, words: int) -> str:
        """Words that no other tenant asks for."""
        return " ".join([self.name] * words)

    def refusal(self, key: Key, name: str | None, words: int) -> tuple[int, str] | None:
        """The status and code that a request must be told; None for an answer. Counts it."""
        limits = self.limits
        if key.revoked:
            return 401, "invalid_api_key"
        if not key.may_ask:
            return 404, "model_not_found"
        used = self.input_tokens + self.output_tokens
        if limits.tokens_per_minute is not None and used >= limits.tokens_per_minute:
            return 429, "rate_limit_exceeded"
        if limits.requests_per_minute is not None:
            if self.requests == limits.requests_per_minute:
                return 429, "rate_limit_exceeded"
            self.requests += 1
        if name in self.answers:
            return None if self.answers[name][0] == words else (409, "idempotency_key_reused")
        budget = limits.budget_micro
        if budget is not None and self.amount_micro + MOST_MICRO > budget:
            return 429, "insufficient_quota"
        return None

    def answered(self, name: str | None, words: int, answer: httpx.Response) -> None:
        """Hold an answer to what it must be, and count it."""
        read, written = min(words, 8), min(words, 4)
        if name in self.answers:
            assert answer.content == self.answers[name][1]
            return
        body = answer.json()
        assert body["usage"] == {
            "input_tokens": read,
            "cached_tokens": 0,
            "output_tokens": written,
            "total_tokens": read + written,
            "truncated_tokens": words - read,
        }
        assert body["summaries"][0]["summary"] == self.text(written).upper()
        assert body["id"] not in self.request_ids
        self.request_ids.add(body["id"])
        if name is not None:
            self.answers[name] = (words, answer.content)
        self.input_tokens += read
        self.output_tokens += written
        self.amount_micro += read + 10 * written
        self.entries += 1


class Machine(RuleBasedStateMachine):
    """Tenants of their own for every run, on one gateway."""

    runs = 0

    def __init__(self, stack: RunningGateway) -> None:
        super().__init__()
        Machine.runs += 1
        self.stack = stack
        self.http = httpx.Client(base_url=stack.url, timeout=DEADLINE_S, trust_env=False)
        self.tenants: dict[str, Expected] = {}

    @initialize()
    def tenants_with_a_key(self) -> None:
        for kind, limits in LIMITS.items():
            name = f"{kind}-{Machine.runs}"
            add_tenant(self.stack.engine, name, limits)
            self.tenants[kind] = Expected(name, limits)
            self.make_key(kind, True)

    @rule(kind=TENANTS, may_ask=st.booleans())
    def make_key(self, kind: str, may_ask: bool) -> None:
        tenant = self.tenants[kind]
        model = "summarizer" if may_ask else "another"
        key = Key(add_key(self.stack.engine, tenant.name, model), may_ask)
        tenant.keys.append(key)

    @rule(kind=TENANTS, data=st.data())
    def revoke_key(self, kind: str, data: st.DataObject) -> None:
        # The first key stays: by it, what the tenant has used is asked for.
        keys = self.tenants[kind].keys[1:]
        if keys:
            key = data.draw(st.sampled_from(keys))
            revoke(self.stack.engine, key.secret)
            self.stack.tenants.forget(self.tenants[kind].name)
            key.revoked = True

    @rule(kind=TENANTS, data=st.data(), name=KEY_NAMES, words=WORDS)
    def ask(self, kind: str, data: st.DataObject, name: str | None, words: int) -> None:
        tenant = self.tenants[kind]
        key = data.draw(st.sampled_from(tenant.keys))
        self.hold(tenant, key, name, words, self.post(tenant, key.secret, name, words))

    @rule(name=st.sampled_from(["k1", "k2"]), words=WORDS)
    def all_ask_at_once_by_the_same_key(self, name: str, words: int) -> None:
        with ThreadPoolExecutor(len(self.tenants)) as pool:
            answers = pool.map(
                lambda tenant: self.post(tenant, tenant.keys[0].secret, name, words),
                self.tenants.values(),
            )
            for tenant, answer in zip(self.tenants.values(), answers, strict=True):
                self.hold(tenant, tenant.keys[0], name, words, answer)

    @rule(owner=TENANTS, thief=TENANTS, words=WORDS, name=KEY_NAMES)
    def a_key_put_together_from_two(
        self, owner: str, thief: str, words: int, name: str | None
    ) -> None:
        """One tenant's key id with another's secret is nobody's key."""
        if owner == thief:
            return
        key_id = self.tenants[owner].keys[0].secret[:20]
        secret = self.tenants[thief].keys[0].secret[20:]
        answer = self.post(self.tenants[thief], key_id + secret, name, words)
        assert answer.status_code == 401

    @invariant()
    def everybody_has_used_what_is_expected(self) -> None:
        for tenant in self.tenants.values():
            headers = {"Authorization": f"Bearer {tenant.keys[0].secret}"}
            budget = tenant.limits.budget_micro
            usage = self.http.get("/v1/usage", headers=headers).json()
            assert usage == {
                "tenant": tenant.name,
                "month": usage["month"],
                "input_tokens": tenant.input_tokens,
                "cached_tokens": 0,
                "output_tokens": tenant.output_tokens,
                "amount_micro": tenant.amount_micro,
                "entries": tenant.entries,
                "reserved_micro": 0,
                "budget_micro": budget,
                "remaining_micro": None if budget is None else budget - tenant.amount_micro,
                "key_budget": None,
            }
            assert self.ledger_of(tenant) == tenant.request_ids
            if budget is not None:
                assert tenant.amount_micro <= budget

    def teardown(self) -> None:
        self.http.close()
        _, findings = verify(self.stack.engine)
        assert findings == []

    def post(
        self, tenant: Expected, secret: str, name: str | None, words: int
    ) -> httpx.Response:
        headers = {"Authorization": f"Bearer {secret}"}
        if name is not None:
            headers["Idempotency-Key"] = name
        body = {"model": "summarizer", "text": tenant.text(words)}
        return self.http.post("/v1/summaries", json=body, headers=headers)

    def hold(
        self, tenant: Expected, key: Key, name: str | None, words: int, answer: httpx.Response
    ) -> None:
        refusal = tenant.refusal(key, name, words)
        if refusal is None:
            assert answer.status_code == 200, answer.text
            tenant.answered(name, words, answer)
        else:
            error: dict[str, Any] = orjson.loads(answer.content)["error"]
            assert (answer.status_code, error["code"]) == refusal

    def ledger_of(self, tenant: Expected) -> set[str]:
        columns = schema.entries.c
        query = sa.select(columns.request_id).where(columns.tenant == tenant.name)
        with self.stack.engine.connect() as connection:
            return set(connection.scalars(query))


@pytest.fixture
def stack(
    tmp_path: Path, model_server: RunningServer, metered_models: Path
) -> Iterator[RunningGateway]:
    engine = open_database(sqlite_ledger(tmp_path))
    with gateway_on(engine, tmp_path, metered_models, [model_server.rest_url]) as running:
        yield running
    engine.dispose()


@pytest.mark.sized
@pytest.mark.usefixtures("rate_time")
def test_tenants_are_alone(stack: RunningGateway) -> None:
    @seed(SEED)
    def machine() -> Machine:
        return Machine(stack)

    run_state_machine_as_test(
        cast(Any, machine),  # it takes whatever makes a machine, and says it takes a class
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    entries, findings = verify(stack.engine)
    assert findings == []
    assert entries > EXAMPLES
    print(f"{Machine.runs} runs, {entries} entries")
