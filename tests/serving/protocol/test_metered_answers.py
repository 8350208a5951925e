"""How answers are read, without a server: what is wrong with one is said."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import orjson
import pytest

from serving.protocol import grpc_api, messages, rest_api
from serving.protocol.columns import write_column
from serving.protocol.errors import BadAnswerError, RefusedError
from serving.protocol.exchange import Columns, Target
from serving.protocol.metered import count_inputs, summaries, summary_inputs
from serving.protocol.statuses import Kind

REFERENCE = Path(__file__).parents[1] / "reference"
TARGET = Target("summarizer", 7)
TEXTS = ["a", "b"]
COUNTS = {"input_tokens": [3, 1], "truncated_tokens": [0, 0]}


def over_rest(outputs: Mapping[str, Any]) -> Columns:
    exchange = rest_api.predict(TARGET, *count_inputs(TEXTS))
    return exchange.read((200, orjson.dumps({"outputs": outputs})))


def over_grpc(outputs: Mapping[str, Any], version: int = 7) -> Columns:
    response = messages.PredictResponse()
    response.model_spec.version.value = version
    for name, values in outputs.items():
        write_column(response.outputs[name], values)
    return grpc_api.predict(TARGET, *count_inputs(TEXTS)).read(response)


BOTH = pytest.mark.parametrize("read", [over_rest, over_grpc])


@BOTH
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"input_tokens": [3]}, r"input_tokens (must have 2 rows|has shape \[1\])"),
        ({"input_tokens": ["3", "1"]}, r"input_tokens must be int32\. Received: \['str'\]"),
    ],
)
def test_an_output_that_is_wrong(
    read: Callable[[Mapping[str, Any]], Columns], change: dict[str, Any], message: str
) -> None:
    assert read(COUNTS) == COUNTS
    with pytest.raises(BadAnswerError, match=message):
        read({**COUNTS, **change})


@BOTH
def test_an_output_that_is_missing(read: Callable[[Mapping[str, Any]], Columns]) -> None:
    with pytest.raises(BadAnswerError, match=r"lacks truncated_tokens\. Received: input_tok"):
        read({"input_tokens": [3, 1], "x": [1, 2]})


@BOTH
def test_what_the_contract_has_not_is_not_read(
    read: Callable[[Mapping[str, Any]], Columns],
) -> None:
    assert read({**COUNTS, "x": [1]}) == COUNTS


@pytest.mark.parametrize("value", [True, 1.0, None, {"b64": "YQ=="}])
def test_a_count_over_rest_is_a_whole_number(value: object) -> None:
    with pytest.raises(BadAnswerError, match="input_tokens must be int32"):
        over_rest({**COUNTS, "input_tokens": [1, value]})


def test_another_version_is_told() -> None:
    with pytest.raises(BadAnswerError, match=r"from version 8\. Expected: version 7"):
        over_grpc(COUNTS, version=8)


def test_a_summary_that_contradicts_itself() -> None:
    row = {"summary": ["S"], "input_tokens": [3], "output_tokens": [1], "total_tokens": [5]}
    row |= {"truncated_tokens": [0], "finish_reason": ["stop"]}
    exchange = rest_api.predict(TARGET, *summary_inputs(["a"]))
    with pytest.raises(BadAnswerError, match="total_tokens"):
        summaries(exchange.read((200, orjson.dumps({"outputs": row}))))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"<html>", "not a JSON object"),
        (b"[]", "not a JSON object"),
        (b'{"predictions": []}', "KeyError: 'outputs'"),
        (b'{"outputs": [1, 2]}', r"lacks .*\. Received: \(its only output\)"),
    ],
)
def test_a_200_that_is_none(body: bytes, message: str) -> None:
    with pytest.raises(BadAnswerError, match=message) as bad:
        rest_api.predict(TARGET, *count_inputs(TEXTS)).read((200, body))
    # What came may be a proxy's, and name what is behind it.
    assert "html" not in bad.value.message


def test_an_error_of_another_program() -> None:
    page = b"<b>upstream 10.0.0.7 is away</b>"
    with pytest.raises(RefusedError) as refused:
        rest_api.status(TARGET).read((502, page))
    assert (refused.value.kind, refused.value.message) == (Kind.SERVER, "HTTP 502")
    assert "10.0.0.7" in str(refused.value)


def test_recorded_metadata_is_the_same_over_both() -> None:
    """TensorFlow Serving's own answer over REST, against what it said over gRPC."""
    rest = json.loads((REFERENCE / "rest.json").read_text(encoding="utf-8"))
    grpc = json.loads((REFERENCE / "grpc.json").read_text(encoding="utf-8"))
    (answer,) = [case["response"] for case in rest if case["name"] == "metadata"]
    (recorded,) = [case["response"] for case in grpc if case["name"] == "metadata"]
    read = rest_api.metadata(Target("fixture")).read((200, orjson.dumps(answer["json"])))
    assert (read.name, read.version) == ("fixture", 2)
    assert {
        name: {"inputs": each.inputs, "outputs": each.outputs}
        for name, each in read.signatures.items()
        if name != "__saved_model_init_op"  # which the record over gRPC leaves out
    } == {
        name: {"inputs": each["inputs"], "outputs": each["outputs"]}
        for name, each in recorded["signatures"].items()
    }


def test_recorded_errors_are_refusals() -> None:
    """Each error that TensorFlow Serving was recorded to answer with, by its own words."""
    rest = json.loads((REFERENCE / "rest.json").read_text(encoding="utf-8"))
    refused = [
        case["response"]
        for case in rest
        if case["response"]["status"] != 200 and "error" in (case["response"].get("json") or {})
    ]
    assert len(refused) > 5
    for answer in refused:
        with pytest.raises(RefusedError) as error:
            rest_api.status(TARGET).read((answer["status"], orjson.dumps(answer["json"])))
        assert error.value.kind in (Kind.REQUEST, Kind.ABSENT)
        assert error.value.message == answer["json"]["error"]


def test_a_config_that_a_server_refuses() -> None:
    """It may say so in its answer, instead of by a status of gRPC's."""
    response = messages.ReloadConfigResponse()
    reload = grpc_api.reload_config(b"")
    reload.read(response)
    response.status.error_code, response.status.error_message = 3, "no such folder"
    with pytest.raises(RefusedError, match="INVALID_ARGUMENT: no such folder"):
        reload.read(response)
