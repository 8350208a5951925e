"""Two gateways, one Redis: requests and tokens a minute are counted together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from serving.engines import RunningServer
from serving.gateway.tenants import Limits
from serving.ledger.database import open_database
from serving.ledger.upgrade import upgrade
from serving.ledger.verification import verify
from tests.serving.gateway.gated_proxy import gated_proxy
from tests.serving.gateway.gateway_process import GatewayProcess, gateway_process
from tests.serving.gateway.redis_process import RedisProcess
from tests.serving.gateway.running_gateway import gateway_on


@dataclass(frozen=True)
class Pair:
    """Two gateway processes of one ledger, and the Redis that both count in."""

    gateways: tuple[GatewayProcess, GatewayProcess]
    redis: RedisProcess

    def key(self, name: str, **limits: int) -> str:
        tenants = self.gateways[0].tenants
        tenants.create(name, "standard", Limits(**limits))
        return tenants.make_key(name)

    def ask(self, place: int, key: str) -> httpx.Response:
        return self.gateways[place % 2].ask(key, "one two three")


@pytest.fixture(scope="module")
def pair(
    tmp_path_factory: pytest.TempPathFactory, model_server: RunningServer, metered_models: Path
) -> Iterator[Pair]:
    folders = [tmp_path_factory.mktemp(f"gateway-{place}") for place in range(2)]
    urls = [model_server.rest_url]
    with RedisProcess(tmp_path_factory.mktemp("redis")) as redis:
        rates = ("--rates", f"async+{redis.url}")
        shared = ("--database", f"sqlite:///{folders[0]}/ledger.sqlite", "--name", "gateway-1")
        with (
            gateway_process(folders[0], metered_models, urls, *rates) as first,
            gateway_process(folders[1], metered_models, urls, *rates, *shared) as second,
        ):
            yield Pair((first, second), redis)


def test_requests_a_minute_of_both_together(pair: Pair) -> None:
    key = pair.key("busy", requests_per_minute=10)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda place: pair.ask(place, key), range(40)))
    assert Counter(answer.status_code for answer in answers) == {200: 10, 429: 30}
    refused = [answer for answer in answers if answer.status_code == 429]
    assert {a.json()["error"]["code"] for a in refused} == {"rate_limit_exceeded"}
    assert all(1 <= int(a.headers["retry-after"]) <= 60 for a in refused)
    # Both let some in: neither had all the requests to itself.
    assert {place % 2 for place, a in enumerate(answers) if a.status_code == 200} == {0, 1}


def test_tokens_a_minute_of_both_together(pair: Pair) -> None:
    key = pair.key("wordy", tokens_per_minute=13)
    # Six tokens each: the third begins with one left, and is the last.
    statuses = [pair.ask(place, key).status_code for place in range(5)]
    assert statuses == [200, 200, 200, 429, 429]


def test_requests_at_a_time_of_both_together(pair: Pair) -> None:
    """Those the ledger counts, which both share."""
    key = pair.key("narrow", max_concurrent=1)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda place: pair.ask(place, key), range(48)))
    assert {answer.status_code for answer in answers} == {200, 429}
    refused = {a.json()["error"]["code"] for a in answers if a.status_code == 429}
    assert refused == {"too_many_at_once"}


def test_tenants_do_not_share(pair: Pair) -> None:
    keys = [pair.key(f"alone-{number}", requests_per_minute=2) for number in range(2)]
    for place in range(4):
        assert pair.ask(place, keys[0]).status_code == (200 if place < 2 else 429)
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
    tmp_path: Path, model_server: RunningServer, metered_models: Path
) -> None:
    """What is charged for is answered."""
    engine = open_database(f"sqlite:///{tmp_path}/ledger.sqlite")
    upgrade(engine)
    with (
        RedisProcess(tmp_path) as redis,
        gated_proxy(model_server.rest_url) as proxy,
        gateway_on(
            engine, tmp_path, metered_models, [proxy.url], rates_url=f"async+{redis.url}"
        ) as stack,
        stack.client(stack.key(tokens_per_minute=100)) as client,
        ThreadPoolExecutor(1) as pool,
    ):
        proxy.shut()
        body = {"model": "summarizer", "text": "one two"}
        answering = pool.submit(client.post, "/v1/summaries", json=body)
        stack.wait_for_states({"reserved": 1})
        redis.stop()
        proxy.open()
        assert answering.result().status_code == 200
        assert stack.states() == {"settled": 1}
    engine.dispose()
