"""Every REST answer that was recorded from TensorFlow Serving, asked of our server."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import httpx
import pytest

RECORDED = json.loads(
    (Path(__file__).parents[1] / "reference" / "rest.json").read_text(encoding="utf-8")
)


def test_all_recordings_are_here() -> None:
    assert len(RECORDED) == 35


def comparable(value: Any) -> Any:
    """Floats as float32, versions of a model as a set, quoted requests without layout."""
    if isinstance(value, dict):
        result = {key: comparable(member) for key, member in value.items()}
        if "error" in result:
            result["error"] = " ".join(value["error"].split())
        if "model_version_status" in result:
            result["model_version_status"].sort(key=lambda entry: entry["version"])
        return result
    if isinstance(value, list):
        return [comparable(element) for element in value]
    if isinstance(value, float):
        try:
            return struct.unpack("f", struct.pack("f", value))[0]
        except OverflowError:
            return float("inf")
    return value


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
