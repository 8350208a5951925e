"""What clients send: taken where it changes nothing, refused by name where it would."""

from __future__ import annotations

import gzip
from typing import Any

import httpx
import orjson
import pytest

from tests.support.running_gateway import RunningGateway

CHAT = "/v1/chat/completions"
TEXT = "one two three"
MESSAGES = [{"role": "user", "content": TEXT}]
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}


def chat(client: httpx.Client, **fields: Any) -> httpx.Response:
    return client.post(CHAT, json={"model": "summarizer", "messages": MESSAGES, **fields})


def error(answer: httpx.Response) -> tuple[int, str | None, str | None]:
    said = answer.json()["error"]
    return answer.status_code, said["code"], said["param"]


NULLABLE = (
    *("stream", "stream_options", "max_tokens", "max_completion_tokens", "n", "tools"),
    *("functions", "response_format", "stop", "logprobs", "top_logprobs", "logit_bias"),
    *("temperature", "top_p", "seed", "user", "metadata", "truncation", "audio"),
)


def test_what_may_be_missing_may_be_null(gateway: RunningGateway) -> None:
    with gateway.client(gateway.key()) as client:
        answer = chat(client, **dict.fromkeys(NULLABLE))
        assert answer.status_code == 200, answer.text
        streamed = chat(client, stream=True, stream_options={"include_usage": None})
        assert streamed.headers["content-type"].startswith("text/event-stream")
        assert '"usage":{' not in streamed.text


def test_what_changes_nothing_is_taken(gateway: RunningGateway) -> None:
    nothing = {
        "n": 1.0,
        "tools": [],
        "functions": [],
        "stop": [],
        "logprobs": False,
        "top_logprobs": 0,
        "logit_bias": {},
        "response_format": {"type": "text"},
        "temperature": 0.2,
        "top_p": 0.9,
        "seed": 7,
        "tool_choice": "none",
        "parallel_tool_calls": True,
        "reasoning_effort": "low",
        "made_up": {"by": "a client"},
    }
    with gateway.client(gateway.key()) as client:
        assert chat(client, **nothing).status_code == 200


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("n", 2),
        ("stop", "."),
        ("stop", ["a", "b"]),
        ("logprobs", True),
        ("top_logprobs", 3),
        ("functions", [{"name": "f"}]),
        ("tools", [{"type": "function"}]),
        ("logit_bias", {"50256": -100}),
        ("audio", {"voice": "a"}),
        ("web_search_options", {}),
    ],
)
def test_what_would_change_an_answer_is_refused_by_name(
    gateway: RunningGateway, field: str, value: object
) -> None:
    with gateway.client(gateway.key()) as client:
        answer = chat(client, **{field: value})
    assert error(answer) == (400, "unsupported_parameter", field)
    assert answer.json()["error"]["message"].startswith(f"{field} is not supported")
    assert gateway.entries() == []


def test_another_format_is_refused_by_name(gateway: RunningGateway) -> None:
    with gateway.client(gateway.key()) as client:
        answer = chat(client, response_format={"type": "json_object"})
    assert error(answer) == (400, "unsupported_parameter", "response_format.type")


def test_messages_that_are_not_read_are_not_judged(gateway: RunningGateway) -> None:
    messages = [
        {"role": "system", "content": [{"type": "text", "text": "Be brief."}]},
        {"role": "user", "content": [{"type": "text", "text": "see"}, IMAGE]},
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]},
        {"role": "tool", "content": 5, "tool_call_id": "1"},
        {
            "role": "user",
            "content": [{"type": "text", "text": "one "}, {"type": "text", "text": "two"}],
        },
        {"role": "assistant"},
    ]
    with gateway.client(gateway.key()) as client:
        answer = chat(client, messages=messages)
        assert answer.json()["choices"][0]["message"]["content"] == "ONE TWO"
        read = chat(client, messages=[*messages, {"role": "user", "content": [IMAGE]}])
    assert error(read) == (400, "unsupported_value", "messages.7.content.0")
    assert "Only text can be summarised" in read.json()["error"]["message"]


@pytest.mark.parametrize("content", ["", " \t\n", None, [], [{"type": "text", "text": " "}]])
def test_no_text_is_refused(gateway: RunningGateway, content: object) -> None:
    with gateway.client(gateway.key()) as client:
        answer = chat(client, messages=[*MESSAGES, {"role": "user", "content": content}])
        assert error(answer) == (400, None, "messages.1.content")
        missing = chat(client, messages=[*MESSAGES, {"role": "user"}])
        assert error(missing) == (400, None, "messages.1.content")
        for body in ({"text": ""}, {"text": " "}, {"text": ["a", "\u2003"]}):
            for path in ("/v1/summaries", "/v1/count_tokens"):
                refused = client.post(path, json={"model": "summarizer", **body})
                assert refused.status_code == 400
                said = refused.json()["error"]
                assert said["message"].endswith("There is no text to summarise")
                assert said["param"] in ("text", "text.1")
    assert gateway.entries() == []


def post(client: httpx.Client, content: bytes, encoding: str) -> httpx.Response:
    headers = {"Content-Encoding": encoding, "Content-Type": "application/json"}
    return client.post("/v1/summaries", content=content, headers=headers)


def test_bodies_in_gzip(gateway: RunningGateway) -> None:
    body = orjson.dumps({"model": "summarizer", "text": TEXT})
    packed = gzip.compress(body)
    bomb = gzip.compress(b'{"model": "' + b" " * 64 * 1024 * 1024)
    assert len(bomb) < 1024 * 1024
    with gateway.client(gateway.key()) as client:
        assert post(client, packed, "gzip").json()["usage"]["input_tokens"] == 3
        assert post(client, packed, "GZIP").status_code == 200
        assert post(client, body, "identity").status_code == 200
        assert error(post(client, bomb, "gzip")) == (413, "too_large", None)
        for wrong in (body, packed[:-4], packed + b"more", packed + packed):
            assert error(post(client, wrong, "gzip")) == (400, None, "Content-Encoding")
        other = post(client, body, "br")
    assert error(other) == (415, "unsupported_media_type", "Content-Encoding")
    assert "gzip" in other.json()["error"]["message"]


def test_one_key_for_packed_and_plain_bodies(gateway: RunningGateway) -> None:
    body = orjson.dumps({"model": "summarizer", "text": TEXT})
    with gateway.client(gateway.key()) as client:
        client.headers["Idempotency-Key"] = "k"
        first = post(client, body, "identity")
        again = post(client, gzip.compress(body), "gzip")
    assert again.content == first.content
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert len(gateway.entries()) == 1
