"""Every REST answer that was recorded from TensorFlow Serving, asked of our server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.serving.model_server.recorded_answers import comparable

RECORDED = json.loads(
    (Path(__file__).parents[1] / "reference" / "rest.json").read_text(encoding="utf-8")
)


def test_all_recordings_are_here() -> None:
    assert len(RECORDED) == 35


@pytest.mark.parametrize("case", RECORDED, ids=[case["name"] for case in RECORDED])
def test_recorded_answer(case: dict[str, Any], rest: httpx.Client) -> None:
    asked, expected = case["request"], case["response"]
    body = asked["body"]
    answer = rest.request(
        asked["method"],
        asked["path"],
        headers=asked["headers"],
        content=None if body is None else body.encode(),
    )
    assert answer.status_code == expected["status"]
    assert answer.headers["content-type"].split(";")[0] == expected["content_type"]
    if "text" in expected:
        assert answer.text == expected["text"]
    else:
        assert comparable(json.loads(answer.content)) == comparable(expected["json"])
