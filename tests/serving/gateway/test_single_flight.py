"""Equal questions at the same moment, where answers are cached: the model is asked once."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from serving.gateway.running import CacheSettings
from tests.serving.gateway.at_once import request_bytes
from tests.serving.gateway.gated_proxy import GatedProxy
from tests.support.running_gateway import RunningGateway, serving_gateway
from tests.support.waiting import wait_until

TEXT = "one two three"
# Of 3 tokens read, cached or not, and 3 written.
MISS, HIT = (3, 0, 33), (3, 3, 30)


@pytest.fixture(scope="module")
def one_for_all(
    tmp_path_factory: pytest.TempPathFactory, shared_gate: GatedProxy, metered_models: Path
) -> Iterator[RunningGateway]:
    folder = tmp_path_factory.mktemp("flights")
    memory = CacheSettings("memory")
    with serving_gateway(folder, shared_gate.url, metered_models, memory) as gateway:
        yield gateway


@pytest.fixture
def cached(gate: GatedProxy, one_for_all: RunningGateway) -> RunningGateway:
    one_for_all.poll()
    return one_for_all.for_one_test()


def ask(client: httpx.Client, text: object = TEXT) -> httpx.Response:
    return client.post("/v1/summaries", json={"model": "summarizer", "text": text})


def charged(gateway: RunningGateway) -> list[tuple[int, int, int]]:
    entries = sorted(gateway.entries(), key=lambda entry: entry.number)
    return [(each.input_tokens, each.cached_tokens, each.amount_micro) for each in entries]


def test_the_others_wait_and_are_charged_for_hits(
    cached: RunningGateway, gate: GatedProxy
) -> None:
    gate.shut()
    with cached.client(cached.key()) as client, ThreadPoolExecutor(9) as pool:
        first = pool.submit(ask, client)
        gate.wait_for_questions(1)
        others = [pool.submit(ask, client) for _ in range(8)]
        cached.wait_for_states({"reserved": 9})
        gate.open()
        answers = [each.result().json() for each in (first, *others)]
    assert gate.questions == 1
    assert [each["usage"]["cached_tokens"] for each in answers] == [0] + [3] * 8
    assert len({each["summaries"][0]["summary"] for each in answers}) == 1
    # A month's 24 cached tokens at 0.1 each are rounded as one.
    tokens = [each[:2] for each in charged(cached)]
    assert tokens == [MISS[:2]] + [HIT[:2]] * 8
    assert sum(each[2] for each in charged(cached)) == 33 + 8 * 30 + 2
    assert cached.verify() == (9, [])


def test_only_who_asks_the_same_waits(cached: RunningGateway, gate: GatedProxy) -> None:
    """Another tenant, another text; of several texts those that nobody is asking."""
    gate.shut()
    with (
        cached.client(cached.key("acme")) as client,
        cached.client(cached.key("other")) as other,
        ThreadPoolExecutor(4) as pool,
    ):
        first = pool.submit(ask, client)
        gate.wait_for_questions(1)
        elsewhere = [pool.submit(ask, other), pool.submit(ask, client, "four five")]
        gate.wait_for_questions(3)
        both = pool.submit(ask, client, [TEXT, "six"])
        cached.wait_for_states({"reserved": 4})
        gate.open()
        for each in (first, *elsewhere):
            assert each.result().json()["usage"]["cached_tokens"] == 0
        rows = both.result().json()["summaries"]
    assert [row["cached_tokens"] for row in rows] == [3, 0]
    assert gate.questions == 4
    assert cached.verify() == (4, [])


def test_where_the_first_one_fails_the_second_asks(
    cached: RunningGateway, gate: GatedProxy
) -> None:
    gate.shut()
    with cached.client(cached.key()) as client, ThreadPoolExecutor(2) as pool:
        first = pool.submit(ask, client)
        gate.wait_for_questions(1)
        second = pool.submit(ask, client)
        cached.wait_for_states({"reserved": 2})
        gate.open_broken()
        assert first.result().status_code == 502
        # Nothing came of the first; what becomes of the second is its own.
        assert second.result().status_code in (502, 503)
        gate.open()
        answers: list[httpx.Response] = []

        def answered() -> bool:
            answers.append(ask(client))
            return answers[-1].status_code == 200

        wait_until(answered, "the model server to be asked again")
        answer = answers[-1]
    assert answer.json()["usage"]["cached_tokens"] == 0
    assert charged(cached) == [MISS]
    assert cached.reserved_micro() == 0
    assert cached.verify() == (1, [])


def test_where_the_first_ones_client_hangs_up_the_second_has_its_answer(
    cached: RunningGateway, gate: GatedProxy
) -> None:
    gate.shut()
    key = cached.key()
    body = {"model": "summarizer", "text": TEXT}
    with cached.client(key) as client, ThreadPoolExecutor(1) as pool:
        with socket.create_connection(("127.0.0.1", cached.port)) as first:
            first.sendall(request_bytes(key, body))
            gate.wait_for_questions(1)
        # Byte by byte the same, it would get the first one's answer.
        second = pool.submit(ask, client, [TEXT])
        cached.wait_for_states({"reserved": 2})
        gate.open()
        assert second.result().json()["usage"]["cached_tokens"] == 3
    # Who has hung up is charged: the work was done.
    cached.wait_until_settled(2)
    assert gate.questions == 1
    assert charged(cached) == [MISS, HIT]
    assert cached.verify() == (2, [])
