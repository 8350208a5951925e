"""A text that is too long: what was cut off is said, or the request is refused by numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from serving.engines import RunningServer
from tests.support.command_gateway import command_gateway
from tests.support.running_gateway import RunningGateway

# The small model reads 8 words.
LONG = "a b c d e f g h i j"
ROUTES: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "/v1/chat/completions": (
        {"messages": [{"role": "user", "content": LONG}]},
        ("usage", "prompt_tokens_details"),
    ),
    "/v1/completions": ({"prompt": LONG}, ("usage", "prompt_tokens_details")),
    "/v1/responses": ({"input": LONG}, ("usage", "input_tokens_details")),
    "/v1/summaries": ({"text": LONG}, ("usage",)),
}


def ask(client: httpx.Client, path: str, **fields: Any) -> httpx.Response:
    return client.post(path, json={"model": "summarizer", **ROUTES[path][0], **fields})


@pytest.mark.parametrize("path", ROUTES)
def test_what_was_cut_is_in_the_usage_and_in_a_header(
    gateway: RunningGateway, path: str
) -> None:
    with gateway.client(gateway.key()) as client:
        client.headers["Idempotency-Key"] = "k"
        for _ in range(2):  # and of a replay, too
            answer = ask(client, path)
            said = answer.json()
            for name in ROUTES[path][1]:
                said = said[name]
            assert said["truncated_tokens"] == 2
            assert answer.headers["x-truncated-tokens"] == "2"
        if path != "/v1/summaries":
            streamed = client.post(
                path,
                json={"model": "summarizer", **ROUTES[path][0], "stream": True},
                headers={"Idempotency-Key": "s"},
            )
            assert streamed.headers["x-truncated-tokens"] == "2"


@pytest.mark.parametrize("path", ROUTES)
def test_disabled_refuses_with_the_numbers_and_costs_nothing(
    gateway: RunningGateway, path: str
) -> None:
    with gateway.client(gateway.key()) as client:
        answer = ask(client, path, truncation="disabled")
        said = answer.json()["error"]
        assert (answer.status_code, said["code"]) == (400, "context_length_exceeded")
        assert said["param"] == "truncation"
        assert "reads at most 8 tokens" in said["message"] and "has 10" in said["message"]
        other = ask(client, path, truncation="perhaps")
        assert (other.status_code, other.json()["error"]["param"]) == (400, "truncation")
    assert gateway.entries() == [] and gateway.states() == {}


def test_disabled_serves_what_fits(gateway: RunningGateway) -> None:
    fits = "a b c d e f g h"
    with gateway.client(gateway.key()) as client:
        answer = ask(client, "/v1/summaries", text=[fits, "one"], truncation="disabled")
        assert answer.status_code == 200
        assert answer.headers["x-truncated-tokens"] == "0"
        one_of_two = ask(client, "/v1/summaries", text=["one", LONG], truncation="disabled")
        assert one_of_two.json()["error"]["code"] == "context_length_exceeded"


def test_the_default_is_a_setting(
    tmp_path: Path, metered_models: Path, model_server: RunningServer
) -> None:
    options = ("--truncation", "disabled")
    urls = [model_server.rest_url]
    with (
        command_gateway(tmp_path, metered_models, urls, *options) as gateway,
        gateway.client(gateway.key()) as client,
    ):
        refused = ask(client, "/v1/responses")
        assert refused.json()["error"]["code"] == "context_length_exceeded"
        cut = ask(client, "/v1/responses", truncation="auto").json()
        assert cut["truncation"] == "auto"
        assert cut["usage"]["input_tokens_details"]["truncated_tokens"] == 2
        short = ask(client, "/v1/responses", input="one").json()
        assert short["truncation"] == "disabled"
