"""Two gateways, one Redis: requests and tokens a minute are counted together."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from serving.ledger.database import open_database
from serving.ledger.verification import verify
from tests.serving.gateway.gated_proxy import GatedProxy
from tests.serving.gateway.redis_process import RedisProcess
from tests.support.command_gateway import CommandGateway, command_gateway
from tests.support.fresh_ledger import sqlite_ledger
from tests.support.running_gateway import DEADLINE_S, gateway_on


@dataclass(frozen=True)
class Pair:
    """Two gateway processes of one ledger, and the Redis that both count in.

    Attributes:
      gate: between both and the model server.
    """

    gateways: tuple[CommandGateway, CommandGateway]
    redis: RedisProcess
    gate: GatedProxy
    clients: tuple[httpx.Client, httpx.Client]

    def key(self, name: str, **limits: int) -> str:
        return self.gateways[0].key(name, **limits)

    def ask(self, place: int, key: str) -> httpx.Response:
        return self.clients[place % 2].post(
            "/v1/summaries",
            json={"model": "summarizer", "text": "one two three"},
            headers={"Authorization": f"Bearer {key}"},
        )


@pytest.fixture(scope="module")
def all_tests_pair(
    tmp_path_factory: pytest.TempPathFactory, shared_gate: GatedProxy, metered_models: Path
) -> Iterator[Pair]:
    folders = [tmp_path_factory.mktemp(f"gateway-{place}") for place in range(2)]
    urls = [shared_gate.url]
    database = sqlite_ledger(folders[0])
    with RedisProcess(tmp_path_factory.mktemp("redis")) as redis, ExitStack() as stack:
        rates = ("--rates", f"async+{redis.url}")
        first, second = (
            stack.enter_context(
                command_gateway(
                    *(folder, metered_models, urls, *rates, "--name", f"gateway-{place}"),
                    database=database,
                )
            )
            for place, folder in enumerate(folders)
        )
        clients = [
            stack.enter_context(
                httpx.Client(base_url=each.url, timeout=DEADLINE_S, trust_env=False)
            )
            for each in (first, second)
        ]
        yield Pair((first, second), redis, shared_gate, (clients[0], clients[1]))


@pytest.fixture
def pair(gate: GatedProxy, all_tests_pair: Pair) -> Pair:
    return all_tests_pair


class Minutes:
    """Minutes that have begun since this was made: the gateways' clock is the machine's, and
    on a slow one a test may take longer than the minute in which it counts."""

    def __init__(self) -> None:
        self._began_at = time.monotonic()

    def begun(self) -> int:
        return 1 + int((time.monotonic() - self._began_at) // 60)


def test_requests_a_minute_of_both_together(pair: Pair) -> None:
    key = pair.key("busy", requests_per_minute=10)
    minutes = Minutes()
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda place: pair.ask(place, key), range(40)))
    admitted = [place for place, a in enumerate(answers) if a.status_code == 200]
    assert 10 <= len(admitted) <= 10 * minutes.begun()
    refused = [answer for answer in answers if answer.status_code != 200]
    assert {a.status_code for a in refused} == {429}
    assert {a.json()["error"]["code"] for a in refused} == {"rate_limit_exceeded"}
    assert all(1 <= int(a.headers["retry-after"]) <= 61 for a in refused)
    # Both let some in: neither had all the requests to itself.
    assert {place % 2 for place in admitted} == {0, 1}


def test_tokens_a_minute_of_both_together(pair: Pair) -> None:
    key = pair.key("wordy", tokens_per_minute=13)
    minutes = Minutes()
    # Six tokens each: the third begins with one left, and is the last.
    statuses = [pair.ask(place, key).status_code for place in range(5)]
    assert statuses == [200, 200, 200, 429, 429] or minutes.begun() > 1


def test_requests_at_a_time_of_both_together(pair: Pair) -> None:
    """Those the ledger counts, which both share."""
    key = pair.key("narrow", max_concurrent=1)
    with ThreadPoolExecutor(1) as pool:
        pair.gate.shut()
        held = pool.submit(pair.ask, 0, key)
        pair.gate.wait_for_questions(1)
        refused = [pair.ask(place, key) for place in range(4)]
        pair.gate.open()
        assert held.result().status_code == 200
    assert [answer.status_code for answer in refused] == [429] * 4
    assert {a.json()["error"]["code"] for a in refused} == {"too_many_at_once"}
    assert [pair.ask(place, key).status_code for place in range(2)] == [200, 200]


def test_tenants_do_not_share(pair: Pair) -> None:
    keys = [pair.key(f"alone-{number}", requests_per_minute=2) for number in range(2)]
    minutes = Minutes()
    statuses = [pair.ask(place, keys[0]).status_code for place in range(4)]
    assert statuses == [200, 200, 429, 429] or minutes.begun() > 1
    assert pair.ask(0, keys[1]).status_code == 200


def test_a_redis_that_is_gone(pair: Pair) -> None:
    """No request is let past a limit uncounted; who has no limit is answered all the same."""
    limited = pair.key("limited", requests_per_minute=1000)
    free = pair.key("free")
    assert pair.ask(0, limited).status_code == 200
    pair.redis.stop()
    try:
        for place in range(2):
            answer = pair.ask(place, limited)
            assert (answer.status_code, answer.json()["error"]["code"]) == (503, "overloaded")
            assert answer.headers["retry-after"] == "1"
            assert pair.ask(place, free).status_code == 200
    finally:
        pair.redis.start()
    assert verify(pair.gateways[0].engine)[1] == []
    assert [pair.ask(place, limited).status_code for place in range(2)] == [200, 200]


def test_a_redis_that_goes_while_the_model_computes(
    tmp_path: Path, gate: GatedProxy, metered_models: Path
) -> None:
    """What is charged for is answered."""
    engine = open_database(sqlite_ledger(tmp_path))
    with (
        RedisProcess(tmp_path) as redis,
        gateway_on(
            engine, tmp_path, metered_models, [gate.url], rates_url=f"async+{redis.url}"
        ) as stack,
        stack.client(stack.key(tokens_per_minute=100)) as client,
        ThreadPoolExecutor(1) as pool,
    ):
        gate.shut()
        body = {"model": "summarizer", "text": "one two"}
        answering = pool.submit(client.post, "/v1/summaries", json=body)
        gate.wait_for_questions(1)
        redis.stop()
        gate.open()
        assert answering.result().status_code == 200
        assert stack.states() == {"settled": 1}
    engine.dispose()
