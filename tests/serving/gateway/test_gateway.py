"""Who asks, what it costs, and that what is written down is what was told."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import openai
import pytest
import sqlalchemy as sa
from openai.types.chat import ChatCompletionMessageParam

from serving.ledger import schema
from tests.support.running_gateway import MOST_MICRO, RunningGateway
from tests.support.tenants import add_key, revoke


def ask(client: httpx.Client, text: object = "one two three", **changes: Any) -> httpx.Response:
    headers = {"Idempotency-Key": changes.pop("key")} if "key" in changes else {}
    body = {"model": "summarizer", "text": text, **changes}
    return client.post("/v1/summaries", json=body, headers=headers)


def test_the_openai_client_works_unchanged(gateway: RunningGateway) -> None:
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=gateway.key()) as client:
        assert [model.id for model in client.models.list()] == ["summarizer"]
        messages: list[ChatCompletionMessageParam] = [
            {"role": "system", "content": "Summarise."},
            {"role": "user", "content": "one two three four five"},
        ]
        answer = client.chat.completions.create(model="summarizer", messages=messages)
        assert answer.choices[0].message.content == "ONE TWO THREE FOUR"
        assert answer.choices[0].finish_reason == "length"
        usage = answer.usage
        assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (5, 4, 9)
        assert usage.prompt_tokens_details.cached_tokens == 0
        limited = client.chat.completions.create(
            model="summarizer", messages=messages, max_completion_tokens=2
        )
        assert limited.choices[0].message.content == "ONE TWO"
        stream = client.chat.completions.create(
            model="summarizer",
            messages=messages,
            stream=True,
            stream_options={"include_usage": True},
        )
        chunks = list(stream)
        text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
        assert text == "ONE TWO THREE FOUR"
        assert chunks[-1].usage.total_tokens == 9
        with pytest.raises(openai.NotFoundError) as unknown:
            client.chat.completions.create(model="gpt-9", messages=messages)
        assert unknown.value.code == "model_not_found"
    with (
        openai.OpenAI(
            base_url=f"{gateway.url}/v1", api_key="tg_wrong", max_retries=0
        ) as client,
        pytest.raises(openai.AuthenticationError, match="missing, unknown or revoked"),
    ):
        client.models.list()
    amounts = [
        (row.input_tokens, row.output_tokens, row.amount_micro) for row in gateway.entries()
    ]
    assert amounts == [(5, 4, 45), (5, 2, 25), (5, 4, 45)]
    assert gateway.verify() == (3, [])


def test_the_ledger_holds_what_the_answer_says(gateway: RunningGateway) -> None:
    with gateway.client(gateway.key()) as client:
        answer = ask(client, ["one two", "a b c d e f g h i j"]).json()
        usage = client.get("/v1/usage").json()
    assert [row["summary"] for row in answer["summaries"]] == ["ONE TWO", "A B C D"]
    assert answer["summaries"][1]["truncated_tokens"] == 2
    assert answer["usage"] == {
        "input_tokens": 10,
        "cached_tokens": 0,
        "output_tokens": 6,
        "total_tokens": 16,
        "truncated_tokens": 2,
    }
    assert (answer["model_version"], answer["tokenizer_fingerprint"]) == ("7", "f" * 64)
    (entry,) = gateway.entries()
    assert (entry.request_id, entry.model_version) == (answer["id"], "7")
    assert (entry.input_tokens, entry.output_tokens, entry.amount_micro) == (10, 6, 70)
    assert entry.finish_reasons == "length,stop"
    assert {name: usage[name] for name in ("input_tokens", "amount_micro", "entries")} == {
        "input_tokens": 10,
        "amount_micro": 70,
        "entries": 1,
    }


def test_a_price_can_be_known_before_it_is_paid(gateway: RunningGateway) -> None:
    with gateway.client(gateway.key()) as client:
        body = {"model": "summarizer", "text": ["one", "a b c d e f g h i j"]}
        answer = client.post("/v1/count_tokens", json=body).json()
    assert answer["counts"] == [
        {"input_tokens": 1, "truncated_tokens": 0},
        {"input_tokens": 8, "truncated_tokens": 2},
    ]
    assert gateway.entries() == []


def test_a_key_is_honoured_for_ever(gateway: RunningGateway) -> None:
    with gateway.client(gateway.key()) as client:
        first = ask(client, key="k")
        again = ask(client, key="k")
        other = ask(client, "another text", key="k")
    assert again.content == first.content
    assert other.status_code == 409
    assert other.json()["error"]["code"] == "idempotency_key_reused"
    assert len(gateway.entries()) == 1


def test_a_storm_of_the_same_request_is_one_charge(gateway: RunningGateway) -> None:
    with gateway.client(gateway.key()) as client:

        def until_answered(_: int) -> bytes:
            while (answer := ask(client, key="k")).status_code == 409:
                assert answer.headers["retry-after"] == "1"
            assert answer.status_code == 200
            return answer.content

        with ThreadPoolExecutor(5) as pool:
            answers = set(pool.map(until_answered, range(5)))
    assert len(answers) == 1
    assert len(gateway.entries()) == 1


def test_a_budget_is_hard(gateway: RunningGateway) -> None:
    # Three of these at once could cost more than is there.
    key = gateway.key(budget_micro=2 * MOST_MICRO + 10)
    with gateway.client(key) as client, ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: ask(client, "one"), range(60)))
        assert {answer.status_code for answer in answers} <= {200, 429}
        # Each of them costs 11: asked one after another, they use up what is left.
        while (answer := ask(client, "one")).status_code == 200:
            answers.append(answer)
        spent = client.get("/v1/usage").json()
    assert answer.json()["error"]["code"] == "insufficient_quota"
    ran = sum(answer.status_code == 200 for answer in answers)
    assert (spent["amount_micro"], spent["reserved_micro"]) == (11 * ran, 0)
    assert 11 * ran <= 2 * MOST_MICRO + 10 < 11 * ran + MOST_MICRO
    assert gateway.verify() == (ran, [])


def test_tenants_know_nothing_of_each_other(gateway: RunningGateway) -> None:
    with gateway.client(gateway.key("a")) as a, gateway.client(gateway.key("b")) as b:
        first = ask(a, key="k")
        second = ask(b, "another text", key="k")
        assert (first.status_code, second.status_code) == (200, 200)
        assert a.get("/v1/usage").json()["input_tokens"] == 3
        assert b.get("/v1/usage").json()["input_tokens"] == 2


def test_keys_are_told_once_hashed_scoped_and_revocable(gateway: RunningGateway) -> None:
    key = gateway.key()
    scoped = add_key(gateway.engine, gateway.name("acme"), "other-model")
    with gateway.engine.connect() as connection:
        rows = connection.execute(sa.select(schema.api_keys)).all()
    assert key.split("_", 2)[2] not in str(rows)
    with gateway.client(scoped) as client:
        assert client.get("/v1/models").json()["data"] == []
        assert ask(client).status_code == 404
    with gateway.client(key) as client:
        assert ask(client).status_code == 200
        revoke(gateway.engine, key)
        gateway.tenants.forget(gateway.name("acme"))
        assert ask(client).status_code == 401
    assert len(gateway.entries()) == 1


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        ("/v1/summaries", b"{", "The body is not valid JSON"),
        ("/v1/summaries", b"[]", "the body: Input should be"),
        ("/v1/summaries", b'{"model": "summarizer"}', "text: Field required"),
        ("/v1/summaries", b'{"model": "summarizer", "text": []}', "at least 1 item"),
        (
            "/v1/summaries",
            b'{"model": "summarizer", "text": "a", "max_output_tokens": 0}',
            "max_output_tokens: Input should be greater",
        ),
        ("/v1/summaries", b'{"model": "summarizer", "text": "a", "x": 1}', "x: Extra inputs"),
        (
            "/v1/chat/completions",
            b'{"model": "summarizer", "messages": [{"role": "system", "content": "a"}]}',
            "no message with the role",
        ),
        (
            "/v1/chat/completions",
            b'{"model": "summarizer", "messages": [{"role": "user", "content": "a"}], "n": 2}',
            "n is not supported. Expected: nothing or 1",
        ),
    ],
)
def test_wrong_requests(gateway: RunningGateway, path: str, body: bytes, message: str) -> None:
    with gateway.client(gateway.key()) as client:
        answer = client.post(path, content=body)
    assert answer.status_code == 400
    assert message in answer.json()["error"]["message"]
    assert answer.json()["error"]["type"] == "invalid_request_error"
    assert gateway.entries() == []


def test_a_body_that_is_too_large(gateway: RunningGateway) -> None:
    with gateway.client(gateway.key()) as client:
        answer = ask(client, "a" * 1024 * 1024)
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_large")


def test_ready_and_alive(gateway: RunningGateway) -> None:
    with httpx.Client(base_url=gateway.url, trust_env=False, timeout=120) as client:
        assert client.get("/healthz").json() == {"status": "ok"}
        # Tenants, money and model servers are for those who run it.
        for path in ("/readyz", "/model-servers", "/metrics"):
            assert client.get(path).status_code == 404
    assert gateway.admin("/healthz").json() == {"status": "ok"}
    ready = gateway.admin("/readyz").json()
    assert (ready["status"], ready["problems"]) == ("ready", [])
    found = gateway.admin("/model-servers").json()
    assert (found["status"], found["problem"], found["requests_waiting"]) == ("up", None, 0)
    (server,) = found["model_servers"]
    assert server["healthy"] and server["versions"] == [7]
    assert server["url"].startswith("http://127.0.0.1:")
    for path in ("/v1/models", "/v1/summaries", "/openapi.json"):
        assert gateway.admin(path).status_code == 404
