"""How much a tenant may ask at a time and a minute, and how much all together."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor, as_completed

import httpx

from tests.serving.gateway.gated_proxy import GatedProxy
from tests.support.rate_time import RateTime
from tests.support.running_gateway import DEADLINE_S, RunningGateway


def ask(client: httpx.Client) -> httpx.Response:
    return client.post("/v1/summaries", json={"model": "summarizer", "text": "one two three"})


def test_requests_a_minute(gateway: RunningGateway, rate_time: RateTime) -> None:
    with gateway.client(gateway.key(requests_per_minute=3)) as client:
        answers = [ask(client) for _ in range(5)]
        rate_time.pass_minute()
        assert ask(client).status_code == 200
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
    assert answers[3].json()["error"]["code"] == "rate_limit_exceeded"
    assert 1 <= int(answers[3].headers["retry-after"]) <= 61
    with gateway.client(gateway.key("other", requests_per_minute=3)) as client:
        assert ask(client).status_code == 200


def test_tokens_a_minute(gateway: RunningGateway, rate_time: RateTime) -> None:
    with gateway.client(gateway.key(tokens_per_minute=13)) as client:
        # Six tokens each: the third begins with one left, and is the last.
        statuses = [ask(client).status_code for _ in range(5)]
        rate_time.pass_minute()
        assert ask(client).status_code == 200
    assert statuses == [200, 200, 200, 429, 429]


def test_requests_at_a_time(gated_gateway: RunningGateway, gate: GatedProxy) -> None:
    gateway = gated_gateway
    with gateway.client(gateway.key(max_concurrent=2)) as client, ThreadPoolExecutor(2) as pool:
        gate.shut()
        two = [pool.submit(ask, client) for _ in range(2)]
        gate.wait_for_questions(2)
        refused = [ask(client) for _ in range(3)]
        gate.open()
        assert [each.result().status_code for each in two] == [200, 200]
        assert ask(client).status_code == 200
    assert [answer.status_code for answer in refused] == [429] * 3
    assert {answer.json()["error"]["code"] for answer in refused} == {"too_many_at_once"}
    assert gateway.verify() == (3, [])


def test_too_many_at_once_are_told_to_come_again(
    gated_gateway: RunningGateway, gate: GatedProxy
) -> None:
    gateway = gated_gateway  # which takes 32 at a time
    with (
        gateway.client(gateway.key("one")) as one,
        gateway.client(gateway.key("two")) as two,
        ThreadPoolExecutor(40) as pool,
    ):
        gate.shut()
        asked = [pool.submit(ask, client) for client in (one, two) for _ in range(20)]
        refused = list(itertools.islice(as_completed(asked, timeout=DEADLINE_S), 8))
        gate.wait_for_questions(32)
        gate.open()
        answers = [each.result() for each in asked]
    shed = [each.result() for each in refused]
    assert {answer.status_code for answer in shed} == {503}
    assert {answer.json()["error"]["code"] for answer in shed} == {"overloaded"}
    assert {answer.headers["retry-after"] for answer in shed} == {"1"}
    assert sum(answer.status_code == 200 for answer in answers) == 32
    assert gateway.verify() == (32, [])


def test_one_tenant_leaves_a_quarter_of_the_places_to_others(
    gated_gateway: RunningGateway, gate: GatedProxy
) -> None:
    gateway = gated_gateway
    with (
        gateway.client(gateway.key("one")) as one,
        gateway.client(gateway.key("two")) as two,
        ThreadPoolExecutor(64) as pool,
    ):
        gate.shut()
        asked = [pool.submit(ask, one) for _ in range(40)]
        refused = list(itertools.islice(as_completed(asked, timeout=DEADLINE_S), 16))
        gate.wait_for_questions(24)
        asked_by_two = [pool.submit(ask, two) for _ in range(8)]
        gate.wait_for_questions(32)  # all of them are let in, while the others are there
        gate.open()
        assert {each.result().json()["error"]["code"] for each in refused} == {"overloaded"}
        assert sum(each.result().status_code == 200 for each in asked) == 24
        assert {each.result().status_code for each in asked_by_two} == {200}
    assert gateway.verify() == (32, [])
