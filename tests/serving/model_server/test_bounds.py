"""Nothing that a client sends, or fails to send, harms another client."""

from __future__ import annotations

import gzip
import json
import math
import select
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import grpc
import httpx
import pytest
from tensorflow.core.framework import types_pb2
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from serving.engines import RunningServer

PREDICT = "/v1/models/fixture:predict"
LIMIT = 1024 * 1024  # of the server in conftest.py
DEADLINE_S = 120.0
ATTEMPTS = 10


@contextmanager
def connection(server: RunningServer) -> Iterator[socket.socket]:
    port = int(server.rest_url.rsplit(":", 1)[1])
    with socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_S) as raw:
        yield raw


def hold_answers(rest: httpx.Client) -> None:
    """Another client is answered."""
    answer = rest.post(PREDICT, json={"instances": ["ok"]})
    assert answer.json()["predictions"][0]["upper"] == "OK"


def hold_answers_meanwhile(rest: httpx.Client, server: RunningServer, sent: bytes) -> bytes:
    """Another client is answered while one has sent so much and no more; what that one is told.

    On a machine that is too busy for that it has been cut off by then, and tries again.
    """
    for _ in range(ATTEMPTS):
        with connection(server) as raw:
            raw.sendall(sent)
            hold_answers(rest)
            readable, _, _ = select.select([raw], [], [], 0)
            told = raw.recv(65536)
        if not readable:
            return told
    raise AssertionError("nobody was answered before the client that sends no more was")


def head(length: int) -> bytes:
    return f"POST {PREDICT} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n".encode()


def test_a_body_that_is_too_large(rest: httpx.Client) -> None:
    answer = rest.post(PREDICT, content=b'{"instances": ["' + b"x" * LIMIT + b'"]}')
    assert answer.status_code == 413
    assert f"Expected: at most {LIMIT} (--max_request_bytes)" in answer.json()["error"]
    largest = b'{"instances": ["' + b"x" * (LIMIT - 19) + b'"]}'
    assert len(largest) == LIMIT
    assert rest.post(PREDICT, content=largest).json()["predictions"][0]["n_bytes"] == LIMIT - 19


def test_a_body_of_unknown_length_that_is_too_large(rest: httpx.Client) -> None:
    answer = rest.post(PREDICT, content=(b"x" * 65536 for _ in range(64)))
    assert answer.status_code == 413
    hold_answers(rest)


def test_a_message_that_is_too_large(channel: grpc.Channel) -> None:
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "fixture"
    request.inputs["text"].dtype = types_pb2.DT_STRING
    request.inputs["text"].string_val.append(b"x" * (LIMIT + 1))
    with pytest.raises(grpc.RpcError) as refused:
        prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict(
            request, timeout=DEADLINE_S
        )
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_a_small_message_that_unpacks_to_a_large_tensor(channel: grpc.Channel) -> None:
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "fixture"
    tensor = request.inputs["text"]
    tensor.dtype = types_pb2.DT_STRING
    tensor.tensor_shape.dim.add(size=2**40)
    tensor.string_val.append(b"x")
    with pytest.raises(grpc.RpcError) as refused:
        prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict(
            request, timeout=DEADLINE_S
        )
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "it unpacks to 8796093022208 bytes" in (refused.value.details() or "")


def test_nesting_is_bounded(rest: httpx.Client) -> None:
    answer = rest.post(PREDICT, content=b'{"instances": ' + b"[" * 500_000)
    assert answer.status_code == 400
    assert "Too many levels of arrays and objects" in answer.json()["error"]


def test_a_value_of_more_dimensions_than_arrays_have(rest: httpx.Client) -> None:
    for depth in (33, 64, 65, 200, 300):
        value = b"[" * depth + b'"a"' + b"]" * depth
        answer = rest.post(PREDICT, content=b'{"inputs": ' + value + b"}")
        assert answer.status_code == 400
        assert f"an input has {depth} dimensions. Expected: at most 32" in answer.text
    value = b"[" * 32 + b'"a"' + b"]" * 32
    assert rest.post(PREDICT, content=b'{"inputs": ' + value + b"}").status_code == 200
    answer = rest.post(PREDICT, content=b'{"instances": [' + value + b"]}")
    assert "an input has 33 dimensions" in answer.text


def test_a_tensor_of_more_dimensions_than_arrays_have(channel: grpc.Channel) -> None:
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "fixture"
    tensor = request.inputs["text"]
    tensor.dtype = types_pb2.DT_STRING
    for _ in range(33):
        tensor.tensor_shape.dim.add(size=1)
    tensor.string_val.append(b"x")
    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
    with pytest.raises(grpc.RpcError, match="an input has 33 dimensions"):
        stub.Predict(request, timeout=DEADLINE_S)
    del tensor.tensor_shape.dim[0]
    assert stub.Predict(request, timeout=DEADLINE_S).outputs["upper"].string_val[0] == b"X"


def test_what_unpacks_to_too_much(rest: httpx.Client) -> None:
    body = gzip.compress(b'{"instances": ["' + b"x" * LIMIT + b'"]}')
    assert len(body) < LIMIT
    answer = rest.post(PREDICT, content=body, headers={"Content-Encoding": "gzip"})
    assert answer.status_code == 413
    hold_answers(rest)


def test_a_client_that_never_ends_its_head(
    reference_server: RunningServer, rest: httpx.Client
) -> None:
    half = f"POST {PREDICT} HTTP/1.1\r\nHost:".encode()
    told = hold_answers_meanwhile(rest, reference_server, half)
    assert told == b""  # cut off, without an answer


def test_a_client_that_never_ends_its_body(
    reference_server: RunningServer, rest: httpx.Client
) -> None:
    told = hold_answers_meanwhile(rest, reference_server, head(1000) + b'{"instances": [')
    assert told.startswith(b"HTTP/1.1 408 ")


def test_clients_that_vanish(reference_server: RunningServer, rest: httpx.Client) -> None:
    body = json.dumps({"instances": ["x"] * 1000}).encode()
    for _ in range(20):
        for part in (body, body[:100]):
            # The server may refuse so many at once.
            with suppress(ConnectionError), connection(reference_server) as raw:
                raw.sendall(head(len(body)) + part)
    hold_answers(rest)


def test_many_idle_connections_make_room(
    reference_server: RunningServer, rest: httpx.Client
) -> None:
    with ExitStack() as stack:
        for _ in range(60):  # the server in conftest.py takes 32
            stack.enter_context(connection(reference_server))
        hold_answers(rest)


def test_what_is_not_http(reference_server: RunningServer, rest: httpx.Client) -> None:
    with connection(reference_server) as raw:
        raw.sendall(b"\x16\x03\x01 this is not HTTP\r\n\r\n")
        assert raw.recv(100).startswith(b"HTTP/1.1 400 ")
    hold_answers(rest)


def test_an_empty_batch_is_answered(rest: httpx.Client) -> None:
    answer = rest.post(PREDICT, json={"inputs": []})
    assert answer.status_code == 200
    outputs = answer.json()["outputs"]
    assert {name: values for name, values in outputs.items() if values} == {}


def test_bytes_that_are_not_utf8_pass(rest: httpx.Client) -> None:
    answer = rest.post(PREDICT, content=b'{"instances": ["\xff\xfe"]}')
    assert answer.json()["predictions"][0]["n_bytes"] == 2


def test_numbers_that_are_not_finite_pass(rest: httpx.Client) -> None:
    body = b'{"signature_name": "pair", "inputs": {"a": [NaN, -Infinity], "b": [1, 1]}}'
    outputs = json.loads(rest.post(PREDICT, content=body).content)["outputs"]
    assert math.isnan(outputs[0])
    assert outputs[1] == -math.inf


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            {"inputs": {"b": [1]}, "signature_name": "pair"},
            "Missing named input: a in 'inputs' object.",
        ),
        (
            {"instances": [1], "signature_name": "pair"},
            "instances is a plain list, but expecting list of objects as multiple input "
            "tensors required as per tensorinfo_map",
        ),
        (
            {"instances": [["a"], ["b", "c"]]},
            "Failed to process element: 1 of 'instances' list. Error: INVALID_ARGUMENT: "
            "Expecting tensor size: 1 but got: 2",
        ),
        (
            {"instances": ["a", {"text": "b"}]},
            "Expecting value/list but got object at item 1 of input list",
        ),
        (
            {"inputs": [["a"], "b"]},
            'JSON Value: "b" found at incorrect level: 2 in the JSON DOM. Expected at level: 2',
        ),
        (
            {"inputs": [["a"], ["b", "c"]]},
            "Encountered list at unexpected size: 2 at level: 1 expected size: 1",
        ),
        (
            {"inputs": ["a"], "signature_name": 1},
            'JSON Value: {\n    "inputs": ["a"],\n    "signature_name": 1\n} not formatted '
            "correctly. 'signature_name' key must be a string value.",
        ),
    ],
)
def test_words_for_what_does_not_fit(
    rest: httpx.Client, body: dict[str, Any], message: str
) -> None:
    answer = rest.post(PREDICT, json=body)
    assert answer.status_code == 400
    assert answer.json() == {"error": message}


def test_apis_that_are_not_there(rest: httpx.Client, channel: grpc.Channel) -> None:
    answer = rest.post("/v1/models/fixture:classify", json={"examples": [{}]})
    assert answer.status_code == 501
    assert "does not implement classify" in answer.json()["error"]


def test_metrics_under_tensorflow_servings_names(rest: httpx.Client) -> None:
    hold_answers(rest)
    rest.post("/v1/models/none:predict", json={"instances": ["a"]})
    page = rest.get("/monitoring/prometheus/metrics")
    assert page.headers["content-type"].startswith("text/plain")
    lines = page.text.splitlines()
    assert "# TYPE :tensorflow:serving:request_count counter" in lines
    counts = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    names = ":tensorflow:serving:request_count"
    assert int(counts[f'{names}{{model_name="fixture",status="OK"}}']) >= 1
    assert int(counts[f'{names}{{model_name="none",status="NOT_FOUND"}}']) >= 1
    # A name that would begin another line.
    rest.post("/v1/models/no%0Amodel%22:predict", json={"instances": ["a"]})
    page = rest.get("/monitoring/prometheus/metrics")
    escaped = f'{names}{{model_name="no\\nmodel\\"",status="NOT_FOUND"}} '
    assert [line for line in page.text.splitlines() if line.startswith(escaped)]
    assert all(line.startswith((":", "#")) for line in page.text.splitlines())
    labels = 'model_name="fixture",API="predict",entrypoint="REST"'
    latency = ":tensorflow:serving:request_latency"
    count = int(counts[f"{latency}_count{{{labels}}}"])
    assert count >= 1
    assert int(counts[f'{latency}_bucket{{{labels},le="+Inf"}}']) == count
    assert float(counts[f"{latency}_sum{{{labels}}}"]) > 0
