"""Batching over both protocols: what waits, what is refused, and what that costs others."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import grpc
import httpx
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from serving.engines import RunningServer, ServerSpec
from tests.support.waiting import wait_until
from tests.support.warm_model_server import WarmEngine

PREDICT = "/v1/models/fixture:predict"
DEADLINE_S = 120.0
BATCH = 32
# Fewer threads than requests in a batch, and as many places as a batch has rows.
FLAGS = {"enable_batching": "true", "rest_api_num_threads": "2", "max_queued_requests": "30"}
# Longer than any test: a batch is computed because it is full, never because it waited.
PARAMETERS = f"""
    max_batch_size {{ value: {BATCH} }}
    batch_timeout_micros {{ value: 600000000 }}
    max_enqueued_batches {{ value: 1 }}
    num_batch_threads {{ value: 1 }}
"""


@contextmanager
def started(folder: Path, base: Path) -> Iterator[RunningServer]:
    (folder / "batching.config").write_text(PARAMETERS)
    (folder / "monitoring.config").write_text('prometheus_config { enable: true path: "/m" }')
    flags = {
        **FLAGS,
        "batching_parameters_file": str(folder / "batching.config"),
        "monitoring_config_file": str(folder / "monitoring.config"),
    }
    with WarmEngine().start(ServerSpec.single("fixture", base, flags)) as server:
        server.wait_until_available(120)
        yield server


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, fixture_base: Path
) -> Iterator[RunningServer]:
    with started(tmp_path_factory.mktemp("batching"), fixture_base) as server:
        yield server


@pytest.fixture(scope="module")
def http(server: RunningServer) -> Iterator[httpx.Client]:
    limits = httpx.Limits(max_connections=100)
    with httpx.Client(
        base_url=server.rest_url, timeout=DEADLINE_S, trust_env=False, limits=limits
    ) as client:
        yield client


@pytest.fixture(scope="module")
def stub(server: RunningServer) -> Iterator[prediction_service_pb2_grpc.PredictionServiceStub]:
    with grpc.insecure_channel(server.grpc_address) as channel:
        yield prediction_service_pb2_grpc.PredictionServiceStub(channel)


@pytest.fixture(scope="module")
def clients() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(64) as pool:
        yield pool


def text_request(*texts: str) -> predict_pb2.PredictRequest:
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "fixture"
    request.inputs["text"].CopyFrom(tf.make_tensor_proto(list(texts), dtype=tf.string))
    return request


def pair_request(a: np.ndarray, b: np.ndarray) -> predict_pb2.PredictRequest:
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "fixture"
    request.model_spec.signature_name = "pair"
    request.inputs["a"].CopyFrom(tf.make_tensor_proto(a, dtype=tf.float32))
    request.inputs["b"].CopyFrom(tf.make_tensor_proto(b, dtype=tf.float32))
    return request


def metric(http: httpx.Client, name: str) -> float:
    for line in http.get("/m").text.splitlines():
        if line.startswith(f":tensorflow:serving:batching_session:{name}{{}} "):
            return float(line.rsplit(" ", 1)[1])
    return 0.0


def states(http: httpx.Client) -> dict[str, str]:
    document = http.get("/v1/models/fixture").json()
    return {each["version"]: each["state"] for each in document["model_version_status"]}


def wait_until_queued(http: httpx.Client, requests: float) -> None:
    """Return when so many requests have come to a queue since the server began."""
    wait_until(
        lambda: metric(http, "input_batch_size_count") >= requests, f"{requests} in the queue"
    )


def test_requests_that_wait_hold_no_thread(
    http: httpx.Client,
    stub: prediction_service_pb2_grpc.PredictionServiceStub,
    clients: ThreadPoolExecutor,
) -> None:
    batches, rows = (metric(http, f"processed_batch_size_{each}") for each in ("count", "sum"))
    texts = ["x" * number for number in range(BATCH)]
    by_rest = {
        text: clients.submit(http.post, PREDICT, json={"instances": [text]})
        for text in texts[::2]
    }
    by_grpc = {text: stub.Predict.future(text_request(text)) for text in texts[1::2]}
    for text, answer in by_rest.items():
        (row,) = answer.result(DEADLINE_S).json()["predictions"]
        assert (row["upper"], row["n_bytes"]) == (text.upper(), len(text))
        assert row["version_tag"] == "v2"
    for text, answer in by_grpc.items():
        response = answer.result(DEADLINE_S)
        assert response.outputs["n_bytes"].int_val == [len(text)]
        assert response.outputs["upper"].string_val == [text.upper().encode()]
        assert response.model_spec.version.value == 2
    # One batch, although only two threads read requests and write answers.
    assert metric(http, "processed_batch_size_count") - batches == 1
    assert metric(http, "processed_batch_size_sum") - rows == BATCH


def test_more_rows_than_a_batch_may_have(
    http: httpx.Client, stub: prediction_service_pb2_grpc.PredictionServiceStub
) -> None:
    message = "Task size 33 is larger than maximum input batch size 32"
    answer = http.post(PREDICT, json={"instances": ["a"] * 33})
    assert (answer.status_code, answer.json()) == (400, {"error": message})
    with pytest.raises(grpc.RpcError) as refused:
        stub.Predict(text_request(*["a"] * 33), timeout=DEADLINE_S)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert refused.value.details() == message


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        (1.0, 1.0, "Batching Run() input tensors must have at least one dimension"),
        ([1.0, 2.0], [1.0], "Batching Run() input tensors must have equal 0th-dimension size"),
    ],
)
def test_inputs_that_are_no_batch(
    stub: prediction_service_pb2_grpc.PredictionServiceStub,
    http: httpx.Client,
    a: float | list[float],
    b: float | list[float],
    message: str,
) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        stub.Predict(pair_request(np.array(a), np.array(b)), timeout=DEADLINE_S)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert refused.value.details() == message
    answer = http.post(PREDICT, json={"signature_name": "pair", "inputs": {"a": a, "b": b}})
    assert (answer.status_code, answer.json()) == (400, {"error": message})


def test_an_empty_batch_is_answered_at_once(
    http: httpx.Client, stub: prediction_service_pb2_grpc.PredictionServiceStub
) -> None:
    assert http.post(PREDICT, json={"inputs": []}).json()["outputs"]["upper"] == []
    response = stub.Predict(text_request(), timeout=DEADLINE_S)
    assert [dim.size for dim in response.outputs["ids"].tensor_shape.dim] == [0, 4]


def test_a_full_queue(http: httpx.Client, clients: ThreadPoolExecutor) -> None:
    queued = metric(http, "input_batch_size_count")
    waiting = clients.submit(http.post, PREDICT, json={"instances": ["w"] * 20})
    wait_until_queued(http, queued + 1)
    answer = http.post(PREDICT, json={"instances": ["f"] * 20})
    assert answer.status_code == 503
    assert answer.json()["error"] == (
        "The batch scheduling queue to which this task was submitted is full; currently 1 "
        "batches enqueued and max_enqueued_batches is 1"
    )
    fits = http.post(PREDICT, json={"instances": ["f"] * 12})
    assert [row["upper"] for row in fits.json()["predictions"]] == ["F"] * 12
    rows = waiting.result(DEADLINE_S).json()["predictions"]
    assert [row["upper"] for row in rows] == ["W"] * 20


def asking_for_a_pair(server: RunningServer) -> socket.socket:
    """A connection on which a whole request has been sent."""
    body = {"signature_name": "pair", "inputs": {"a": [1], "b": [1]}}
    content = json.dumps(body).encode()
    head = f"POST {PREDICT} HTTP/1.1\r\nHost: a\r\nContent-Length: {len(content)}\r\n\r\n"
    port = int(server.rest_url.rsplit(":", 1)[1])
    connection = socket.create_connection(("127.0.0.1", port), DEADLINE_S)
    connection.sendall(head.encode() + content)
    return connection


def test_what_waits_in_a_batch_is_bounded_and_clients_that_vanish_make_room(
    server: RunningServer, http: httpx.Client
) -> None:
    queued = metric(http, "input_batch_size_count")
    batches, rows = (metric(http, f"processed_batch_size_{each}") for each in ("count", "sum"))
    with ExitStack() as vanishing:
        channel = vanishing.enter_context(grpc.insecure_channel(server.grpc_address))
        grpc_stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        for _ in range(16):
            vanishing.enter_context(asking_for_a_pair(server))
        by_grpc = [grpc_stub.Predict.future(text_request("gone")) for _ in range(16)]
        wait_until_queued(http, queued + 16 * 2 + 16)  # the pairs have two inputs
        answer = http.post(PREDICT, json={"instances": ["a"]})
        assert answer.status_code == 503
        assert "busy with 32 requests" in answer.json()["error"]
        for each in by_grpc:
            each.cancel()
    assert metric(http, "processed_batch_size_count") == batches
    # No row of theirs is left in a batch, nor a place of theirs in the server.
    answers: list[httpx.Response] = []

    def accepted() -> bool:
        answers.append(http.post(PREDICT, json={"instances": ["b"] * BATCH}))
        return answers[-1].status_code != 503

    wait_until(accepted, "room for a batch")
    answer = answers[-1]
    assert [row["upper"] for row in answer.json()["predictions"]] == ["B"] * BATCH
    assert metric(http, "processed_batch_size_count") - batches == 1
    assert metric(http, "processed_batch_size_sum") - rows == BATCH


def test_what_waits_keeps_its_version_and_sigterm_answers_it(
    tmp_path: Path,
    export_fixture: Callable[[Path, int], None],
    clients: ThreadPoolExecutor,
) -> None:
    base = tmp_path / "fixture"
    export_fixture(base, 1)
    export_fixture(tmp_path / "ready", 2)
    with started(tmp_path, base) as server, ExitStack() as stack:
        http = stack.enter_context(
            httpx.Client(base_url=server.rest_url, timeout=DEADLINE_S, trust_env=False)
        )
        by_rest = clients.submit(http.post, PREDICT, json={"instances": ["a"]})
        channel = stack.enter_context(grpc.insecure_channel(server.grpc_address))
        grpc_stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        by_grpc = grpc_stub.Predict.future(text_request("b"))
        wait_until_queued(http, 2)
        (tmp_path / "ready" / "2").rename(base / "2")
        wait_until(lambda: states(http) == {"1": "UNLOADING", "2": "AVAILABLE"}, "the swap")
        after = http.post(PREDICT, json={"instances": ["c"] * BATCH}).json()["predictions"]
        assert {row["version_tag"] for row in after} == {"v2"}
        assert states(http) == {"1": "UNLOADING", "2": "AVAILABLE"}
        server.stop()
        assert server.exit_status() == 0
        (row,) = by_rest.result().json()["predictions"]
        assert (row["upper"], row["version_tag"]) == ("A", "v1")
        assert by_grpc.result().model_spec.version.value == 1
        assert by_grpc.result().outputs["upper"].string_val == [b"B"]
