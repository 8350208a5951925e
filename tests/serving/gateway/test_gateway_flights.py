"""Equal questions at the same moment, where answers are cached: the model is asked once."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from serving.engines import RunningServer
from serving.gateway.running import CacheSettings
from serving.ledger.verification import verify
from tests.serving.gateway.gated_proxy import GatedProxy, gated_proxy
from tests.serving.gateway.running_gateway import DEADLINE_S, RunningGateway, serving_gateway

TEXT = "one two three"
# Of 3 tokens read, cached or not, and 3 written.
MISS, HIT = (3, 0, 33), (3, 3, 30)


@pytest.fixture
def proxy(model_server: RunningServer) -> Iterator[GatedProxy]:
    with gated_proxy(model_server.rest_url) as running:
        yield running


@pytest.fixture
def cached(tmp_path: Path, proxy: GatedProxy, metered_models: Path) -> Iterator[RunningGateway]:
    memory = CacheSettings("memory")
    with serving_gateway(tmp_path, proxy.url, metered_models, memory) as gateway:
        yield gateway


def ask(client: httpx.Client, text: object = TEXT) -> httpx.Response:
    return client.post("/v1/summaries", json={"model": "summarizer", "text": text})


def charged(gateway: RunningGateway) -> list[tuple[int, int, int]]:
    entries = sorted(gateway.entries(), key=lambda entry: entry.number)
    return [(each.input_tokens, each.cached_tokens, each.amount_micro) for each in entries]


def wait_for_questions(proxy: GatedProxy, questions: int) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while proxy.questions < questions:
        assert time.monotonic() < deadline, proxy.questions
        time.sleep(0.01)


def test_the_others_wait_and_are_charged_for_hits(
    cached: RunningGateway, proxy: GatedProxy
) -> None:
    proxy.shut()
    with cached.client(cached.key()) as client, ThreadPoolExecutor(9) as pool:
        first = pool.submit(ask, client)
        wait_for_questions(proxy, 1)
        others = [pool.submit(ask, client) for _ in range(8)]
        cached.wait_for_states({"reserved": 9})
        proxy.open()
        answers = [each.result().json() for each in (first, *others)]
    assert proxy.questions == 1
    assert [each["usage"]["cached_tokens"] for each in answers] == [0] + [3] * 8
    assert len({each["summaries"][0]["summary"] for each in answers}) == 1
    # A month's 24 cached tokens at 0.1 each are rounded as one.
    tokens = [each[:2] for each in charged(cached)]
    assert tokens == [MISS[:2]] + [HIT[:2]] * 8
    assert sum(each[2] for each in charged(cached)) == 33 + 8 * 30 + 2
    assert verify(cached.engine) == (9, [])


def test_only_who_asks_the_same_waits(cached: RunningGateway, proxy: GatedProxy) -> None:
    """Another tenant, another text; of several texts those that nobody is asking."""
    proxy.shut()
    with (
        cached.client(cached.key("acme")) as client,
        cached.client(cached.key("other")) as other,
        ThreadPoolExecutor(4) as pool,
    ):
        first = pool.submit(ask, client)
        wait_for_questions(proxy, 1)
        elsewhere = [pool.submit(ask, other), pool.submit(ask, client, "four five")]
        wait_for_questions(proxy, 3)
        both = pool.submit(ask, client, [TEXT, "six"])
        cached.wait_for_states({"reserved": 4})
        proxy.open()
        for each in (first, *elsewhere):
            assert each.result().json()["usage"]["cached_tokens"] == 0
        rows = both.result().json()["summaries"]
    assert [row["cached_tokens"] for row in rows] == [3, 0]
    assert proxy.questions == 4
    assert verify(cached.engine) == (4, [])


def test_where_the_first_one_fails_the_second_asks(
    cached: RunningGateway, proxy: GatedProxy
) -> None:
    proxy.shut()
    with cached.client(cached.key()) as client, ThreadPoolExecutor(2) as pool:
        first = pool.submit(ask, client)
        wait_for_questions(proxy, 1)
        second = pool.submit(ask, client)
        cached.wait_for_states({"reserved": 2})
        proxy.open_broken()
        assert first.result().status_code == 502
        # Nothing came of the first; what becomes of the second is its own.
        assert second.result().status_code in (502, 503)
        proxy.open()
        deadline = time.monotonic() + DEADLINE_S
        while (answer := ask(client)).status_code != 200:
            assert time.monotonic() < deadline, answer.text
            time.sleep(0.05)
    assert answer.json()["usage"]["cached_tokens"] == 0
    assert charged(cached) == [MISS]
    assert cached.reserved_micro() == 0
    assert verify(cached.engine) == (1, [])


def test_where_the_first_ones_client_hangs_up_the_second_has_its_answer(
    cached: RunningGateway, proxy: GatedProxy
) -> None:
    proxy.shut()
    with cached.client(cached.key()) as client, ThreadPoolExecutor(1) as pool:
        with pytest.raises(httpx.ReadTimeout):
            body = {"model": "summarizer", "text": TEXT}
            client.post("/v1/summaries", json=body, timeout=httpx.Timeout(60, read=0.5))
        assert proxy.questions == 1
        second = pool.submit(ask, client)
        cached.wait_for_states({"reserved": 2})
        proxy.open()
        assert second.result().json()["usage"]["cached_tokens"] == 3
    # Who has hung up is charged: the work was done.
    cached.wait_until_settled(2)
    assert proxy.questions == 1
    assert charged(cached) == [MISS, HIT]
    assert verify(cached.engine) == (2, [])
