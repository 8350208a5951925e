"""What the cache answers: who gets it, what it costs, and that it is never worth a request.

The model of these tests answers differently each time, so that only what comes from the cache
is the same again.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam

from serving.engines import RunningServer, ServerSpec
from serving.gateway.running import CacheSettings
from serving.ledger.verification import verify
from tests.serving.gateway.redis_process import RedisProcess
from tests.support.running_gateway import PRICES, RunningGateway, serving_gateway
from tests.support.waiting import wait_until
from tests.support.warm_model_server import WarmEngine

MEMORY = CacheSettings("memory")
TEXT = "one two three"


@dataclass
class RandomModel:
    """A served model whose summaries differ from call to call."""

    made: Path
    folder: Path
    server: RunningServer

    def push(self, number: int) -> None:
        """Add the model once more, as a version that will be the one that answers."""
        made = shutil.copytree(self.made, self.folder.parent / f"made-{number}")
        made.rename(self.folder / str(number))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RandomModel]:
    from tests.support.metered_model import export_metered_version

    folder = tmp_path_factory.mktemp("random") / "summarizer"
    folder.mkdir()
    export_metered_version(folder.parent / "made", random=True)
    flags = {"file_system_poll_wait_seconds": "1"}
    server = WarmEngine().start(ServerSpec.single("summarizer", folder, flags))
    with server:
        model = RandomModel(folder.parent / "made", folder, server)
        model.push(7)
        server.wait_until_available(120)
        yield model


@pytest.fixture(scope="module")
def one_for_all(
    tmp_path_factory: pytest.TempPathFactory, model: RandomModel
) -> Iterator[RunningGateway]:
    folder = tmp_path_factory.mktemp("cached")
    with serving_gateway(folder, model.server.rest_url, model.folder, MEMORY) as gateway:
        yield gateway


@pytest.fixture
def cached(one_for_all: RunningGateway) -> RunningGateway:
    """With an empty cache, as far as this test's tenants go."""
    return one_for_all.for_one_test()


def ask(
    client: httpx.Client, text: object = TEXT, key: str = "", **changes: object
) -> dict[str, Any]:
    headers = {"Idempotency-Key": key} if key else {}
    body = {"model": "summarizer", "text": text, **changes}
    answer = client.post("/v1/summaries", json=body, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


def cached_tokens(answer: dict[str, Any]) -> list[int]:
    return [row["cached_tokens"] for row in answer["summaries"]]


def counted(gateway: RunningGateway, sample: str) -> float:
    """A sample of the metrics; 0 where there is none yet."""
    lines = dict(line.rsplit(" ", 1) for line in gateway.metrics().splitlines())
    return float(lines.get(sample, 0))


def rows_found(gateway: RunningGateway, outcome: str) -> float:
    return counted(gateway, f'tallygraph_cache_rows_total{{outcome="{outcome}"}}')


def test_a_hit_says_so_costs_what_the_plan_says_and_is_written_down(
    cached: RunningGateway,
) -> None:
    before = {each: rows_found(cached, each) for each in ("hit", "miss")}
    with cached.client(cached.key()) as client:
        first, second = ask(client), ask(client)
        usage = client.get("/v1/usage").json()
    assert second["summaries"][0]["summary"] == first["summaries"][0]["summary"]
    assert (cached_tokens(first), cached_tokens(second)) == ([0], [3])
    assert second["usage"] == {
        "input_tokens": 3,
        "cached_tokens": 3,
        "output_tokens": 3,
        "total_tokens": 6,
        "truncated_tokens": 0,
    }
    charged = [
        (entry.request_id, entry.input_tokens, entry.cached_tokens, entry.amount_micro)
        for entry in cached.entries()
    ]
    # 3 input tokens for 1 each, 3 cached ones for 0.1 each; 3 output tokens for 10 each.
    assert charged == [(first["id"], 3, 0, 33), (second["id"], 3, 3, 30)]
    assert (usage["cached_tokens"], usage["amount_micro"]) == (3, 63)
    assert (usage["reserved_micro"], cached.verify()) == (0, (2, []))
    rows = {each: rows_found(cached, each) - before[each] for each in before}
    assert rows == {"hit": 1, "miss": 1}


def test_the_openai_client_sees_it(cached: RunningGateway) -> None:
    messages: list[ChatCompletionMessageParam] = [{"role": "user", "content": TEXT}]
    with openai.OpenAI(base_url=f"{cached.url}/v1", api_key=cached.key()) as client:
        answers = [
            client.chat.completions.create(model="summarizer", messages=messages)
            for _ in range(2)
        ]
    assert answers[0].choices[0].message.content == answers[1].choices[0].message.content
    usages = [answer.usage for answer in answers]
    assert [usage.prompt_tokens_details.cached_tokens for usage in usages] == [0, 3]
    assert [usage.total_tokens for usage in usages] == [6, 6]


def test_only_what_is_missing_goes_to_the_model(cached: RunningGateway) -> None:
    with cached.client(cached.key()) as client:
        known = ask(client, "b b")
        answer = ask(client, ["a", "b b", "c c c"])
        again = ask(client, ["c c c", "b b", "a"])
    assert cached_tokens(answer) == [0, 2, 0]
    assert answer["summaries"][1]["summary"] == known["summaries"][0]["summary"]
    assert [row["summary"].split()[0] for row in answer["summaries"]] == ["A", "B", "C"]
    assert cached_tokens(again) == [3, 2, 1]
    summaries = [row["summary"] for row in answer["summaries"]]
    assert [row["summary"] for row in again["summaries"]] == summaries[::-1]
    partly = cached.entries()[1]
    assert (partly.input_tokens, partly.cached_tokens, partly.output_tokens) == (6, 2, 6)


def test_no_tenant_is_given_what_another_asked_for(cached: RunningGateway) -> None:
    with cached.client(cached.key("a")) as a, cached.client(cached.key("b")) as b:
        first, other = ask(a), ask(b)
        assert cached_tokens(ask(a)) == [3]
    assert cached_tokens(other) == [0]
    assert other["summaries"][0]["summary"] != first["summaries"][0]["summary"]


def test_tenants_share_where_the_operator_says_so(tmp_path: Path, model: RandomModel) -> None:
    shared = CacheSettings("memory", shared=True)
    with (
        serving_gateway(tmp_path, model.server.rest_url, model.folder, shared) as gateway,
        gateway.client(gateway.key("a")) as a,
        gateway.client(gateway.key("b")) as b,
    ):
        first, other = ask(a), ask(b)
    assert cached_tokens(other) == [3]
    assert other["summaries"] != first["summaries"]  # in cached_tokens alone
    assert other["summaries"][0]["summary"] == first["summaries"][0]["summary"]


def test_a_limit_is_part_of_the_question(cached: RunningGateway) -> None:
    with cached.client(cached.key()) as client:
        ask(client)
        assert cached_tokens(ask(client, max_output_tokens=2)) == [0]
        assert cached_tokens(ask(client, max_output_tokens=2)) == [3]
        # The model writes 4 at most: a limit of 4, or more, is none.
        assert cached_tokens(ask(client, max_output_tokens=4)) == [3]
        assert cached_tokens(ask(client, max_output_tokens=1000)) == [3]


def test_a_hit_has_an_idempotency_key_too(cached: RunningGateway) -> None:
    with cached.client(cached.key()) as client:
        ask(client)
        hit, replayed = ask(client, key="k"), ask(client, key="k")
        other = client.post(
            "/v1/summaries",
            json={"model": "summarizer", "text": "another"},
            headers={"Idempotency-Key": "k"},
        )
    assert replayed == hit
    assert cached_tokens(hit) == [3]
    assert other.json()["error"]["code"] == "idempotency_key_reused"
    assert len(cached.entries()) == 2


def test_a_budget_holds_for_hits(cached: RunningGateway) -> None:
    with cached.client(cached.key(budget_micro=33 + 47)) as client:
        ask(client)
        # A hit would cost 30, and could have cost 48: the cache is asked after the budget.
        body = {"model": "summarizer", "text": TEXT}
        answer = client.post("/v1/summaries", json=body)
    assert answer.json()["error"]["code"] == "insufficient_quota"


def test_cached_tokens_may_cost_more_than_others(tmp_path: Path, model: RandomModel) -> None:
    prices = PRICES.replace("cached_tokens = 100", "cached_tokens = 900000")
    with serving_gateway(
        tmp_path, model.server.rest_url, model.folder, MEMORY, prices
    ) as gateway:
        with gateway.client(gateway.key()) as client:
            ask(client)
            ask(client)
        assert [entry.amount_micro for entry in gateway.entries()] == [33, 2730]
        assert verify(gateway.engine) == (2, [])


@pytest.mark.usefixtures("patient_redis")
def test_gateways_share_a_redis_and_do_without_it(tmp_path: Path, model: RandomModel) -> None:
    url, models = model.server.rest_url, model.folder
    with RedisProcess(tmp_path) as redis:
        settings = CacheSettings(redis.url)
        with (
            serving_gateway(tmp_path, url, models, settings, name="one") as one,
            serving_gateway(tmp_path, url, models, settings, name="two") as two,
        ):
            key = one.key()
            other = one.key("other")
            with one.client(key) as first, two.client(key) as second:
                known = ask(first)
                assert (
                    ask(second)["summaries"][0]["summary"] == (known["summaries"][0]["summary"])
                )
                with two.client(other) as stranger:
                    assert cached_tokens(ask(stranger)) == [0]
                assert not any(b"one" in value.lower() for value in _keys(redis))
                redis.stop()
                assert [cached_tokens(ask(first)) for _ in range(3)] == [[0]] * 3
                errors = 'tallygraph_cache_errors_total{operation="read"}'
                assert counted(one, errors) >= 1  # one in a while, not one a request
                redis.start()
                wait_until(lambda: cached_tokens(ask(first)) != [0], "a hit", every_s=0.1)
            assert verify(one.engine)[1] == []


@pytest.mark.usefixtures("patient_redis")
def test_what_is_no_answer_is_a_miss(tmp_path: Path, model: RandomModel) -> None:
    with RedisProcess(tmp_path) as redis:
        settings = CacheSettings(redis.url)
        with (
            serving_gateway(tmp_path, model.server.rest_url, model.folder, settings) as gateway,
            gateway.client(gateway.key()) as client,
            redis.client() as store,
        ):
            ask(client)
            (name,) = store.keys()
            row = b'{"summary":"X","input_tokens":%s,"output_tokens":1,"total_tokens":2,'
            row += b'"truncated_tokens":0,"finish_reason":"stop"}'
            poison = [b"{", b"[]", b"\xff", row % b"-1", row % b'"1"', row % b"1.0"]
            for value in poison:
                store.set(name, value)
                assert cached_tokens(ask(client)) == [0], value
                assert cached_tokens(ask(client)) == [3], value
            errors = f'tallygraph_cache_errors_total{{operation="value"}} {len(poison)}.0'
            assert errors in gateway.metrics()


def test_a_new_version_is_never_given_the_old_ones_answers(
    tmp_path: Path, model: RandomModel
) -> None:
    with serving_gateway(tmp_path, model.server.rest_url, model.folder, MEMORY) as gateway:
        with gateway.client(gateway.key()) as client:
            ask(client)
            model.push(8)
            answers: list[dict[str, Any]] = []

            def is_new() -> bool:
                answers.append(ask(client))
                return bool(answers[-1]["model_version"] == "8")

            wait_until(is_new, "the new version", every_s=0.1)
            *old, new = answers
            assert all(cached_tokens(each) == [3] for each in old)
            assert cached_tokens(new) == [0]
            assert cached_tokens(ask(client)) == [3]
        assert verify(gateway.engine)[1] == []


def _keys(redis: RedisProcess) -> list[bytes]:
    with redis.client() as client:
        return list(client.keys())
