"""Odd REST requests that were recorded from TensorFlow Serving, sent as they are."""

from __future__ import annotations

import base64
import gzip
import http.client
import json
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from tests.serving.model_server.recorded_answers import comparable

RECORDED = json.loads(
    (Path(__file__).parents[1] / "reference" / "rest_odd.json").read_text(encoding="utf-8")
)

# Recordings that our server does not give back, and why. The status is the same.
OTHER_WORDS: Final[dict[str, str]] = {
    "get_versions_99999999999999999999": "our server says what is wrong; the real one nothing",
    "post_versions_99999999999999999999_predict": "as above",
    "body_deep255": "an input has at most 32 dimensions here, and the message says so",
}
# The status differs.
OTHER_ANSWER: Final[dict[str, str]] = {
    "body_inf_3": "`Inf`: clients write `Infinity`, which is taken",
}


def ask(server: httpx.URL, asked: dict[str, Any]) -> tuple[int, str, bytes]:
    """Send a request as it was recorded: libraries would mend its path."""
    body = base64.b64decode(asked["body_b64"]) if "body_b64" in asked else asked["body"]
    connection = http.client.HTTPConnection(server.host, server.port or 80, timeout=60)
    try:
        connection.request(
            asked["method"],
            asked["path"],
            body.encode() if isinstance(body, str) else body,
            asked["headers"],
        )
        answer = connection.getresponse()
        content = answer.read()
        if answer.headers["content-encoding"] == "gzip":
            content = gzip.decompress(content)
        return answer.status, answer.headers["content-type"] or "", content
    finally:
        connection.close()


def recorded_content(expected: dict[str, Any]) -> bytes:
    if "text_b64" in expected:
        return base64.b64decode(expected["text_b64"])
    content: bytes = expected["text"].encode()
    return content


def test_all_recordings_are_here() -> None:
    assert len(RECORDED) == 131
    assert {*OTHER_WORDS, *OTHER_ANSWER} <= {case["name"] for case in RECORDED}


@pytest.mark.parametrize("case", RECORDED, ids=[case["name"] for case in RECORDED])
def test_recorded_answer(case: dict[str, Any], rest: httpx.Client) -> None:
    expected = case["response"]
    status, content_type, content = ask(rest.base_url, case["request"])
    if case["name"] in OTHER_ANSWER:
        assert status != expected["status"], "it is no exception any more"
        return
    assert status == expected["status"], content
    assert content_type.split(";")[0] == expected["content_type"]
    if "json" in expected:
        same = comparable(json.loads(content)) == comparable(expected["json"])
    else:
        same = content == recorded_content(expected)
    if case["name"] in OTHER_WORDS:
        assert not same, "it is no exception any more"
        assert status >= 400
    else:
        assert same, (content, expected)
