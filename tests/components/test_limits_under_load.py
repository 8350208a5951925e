"""Limits that make no sense, beside good ones, on a server that batches."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import httpx
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from serving.engines import Batching, RunningServer, ServerFiles
from tests.components.fixture_base_model import MAX_OUTPUT_TOKENS
from tests.support.waiting import wait_until
from tests.support.warm_model_server import WarmEngine

if TYPE_CHECKING:
    from tfx.types.standard_artifacts import Model

PREDICT = "/v1/models/summarizer:predict"
DEADLINE_S = 120.0
# 0 and what is above the model's limit stand for the model's.
NO_LIMIT = (0, MAX_OUTPUT_TOKENS + 1, 2**31 - 1)
pytestmark = pytest.mark.long  # `test_decoding_in_batches.py` has rows with limits of their own

BELOW_ZERO = (-1, -(2**31))
GOOD = (1, 2, MAX_OUTPUT_TOKENS - 1, MAX_OUTPUT_TOKENS)
ROWS = [
    (f"def function_{place}(): returns the number {place % 7}.", limit)
    for place, limit in enumerate((*GOOD, *BELOW_ZERO, *NO_LIMIT, *GOOD, *BELOW_ZERO, 1) * 4)
]


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, metered_model: Model
) -> Iterator[RunningServer]:
    base = tmp_path_factory.mktemp("limits") / "summarizer"
    base.mkdir()
    (base / "1").symlink_to(Path(metered_model.uri) / "Format-Serving")
    # Longer than the test: a batch is computed because every row has come.
    batching = Batching(
        max_batch_size=len(ROWS), batch_timeout_micros=600_000_000, num_batch_threads=1
    )
    files = ServerFiles.write(base.parent / "models.config", "summarizer", base, batching)
    with WarmEngine().start(files.spec(("summarizer",))) as server:
        server.wait_until_available(DEADLINE_S)
        yield server


@pytest.fixture(scope="module")
def http(server: RunningServer) -> Iterator[httpx.Client]:
    limits = httpx.Limits(max_connections=len(ROWS))
    with httpx.Client(
        base_url=server.rest_url, timeout=DEADLINE_S, trust_env=False, limits=limits
    ) as client:
        yield client


@pytest.fixture(scope="module")
def alone(metered_model: Model) -> dict[str, dict[int, dict[str, Any]]]:
    """What the model gives for each row by itself, with a limit that is one."""
    model = tf.saved_model.load(str(Path(metered_model.uri) / "Format-Serving"))
    summarize = model.signatures["summarize"]
    answers: dict[str, dict[int, dict[str, Any]]] = {}
    for text, _ in ROWS:
        answers[text] = {}
        for limit in GOOD:
            outputs = summarize(
                text=tf.constant([text]), max_output_tokens=tf.constant([limit], tf.int32)
            )
            answers[text][limit] = {
                name: value.numpy()[0].decode() if value.dtype == tf.string else int(value[0])
                for name, value in outputs.items()
            }
    return answers


def expected(answers: dict[int, dict[str, Any]], limit: int) -> dict[str, Any]:
    if limit >= 0:
        return answers[MAX_OUTPUT_TOKENS if limit in NO_LIMIT else limit]
    read = answers[MAX_OUTPUT_TOKENS]
    return {
        **read,
        "summary": "",
        "output_tokens": 0,
        "total_tokens": read["input_tokens"],
        "finish_reason": "length",
    }


def request_for(rows: list[tuple[str, int]]) -> dict[str, Any]:
    instances = [{"text": text, "max_output_tokens": limit} for text, limit in rows]
    return {"signature_name": "summarize", "instances": instances}


def by_grpc(
    stub: prediction_service_pb2_grpc.PredictionServiceStub, row: tuple[str, int]
) -> Any:
    text, limit = row
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "summarizer"
    request.model_spec.signature_name = "summarize"
    request.inputs["text"].CopyFrom(tf.make_tensor_proto([text]))
    request.inputs["max_output_tokens"].CopyFrom(tf.make_tensor_proto([limit], tf.int32))
    outputs = stub.Predict(request, timeout=DEADLINE_S).outputs
    return {
        name: value.string_val[0].decode() if value.string_val else value.int_val[0]
        for name, value in outputs.items()
    }


def test_in_one_request(
    http: httpx.Client, alone: dict[str, dict[int, dict[str, Any]]]
) -> None:
    answer = http.post(PREDICT, json=request_for(ROWS))
    assert answer.status_code == 200, answer.text
    assert answer.json()["predictions"] == [expected(alone[text], n) for text, n in ROWS]


def test_of_many_clients_in_one_batch(
    server: RunningServer, http: httpx.Client, alone: dict[str, dict[int, dict[str, Any]]]
) -> None:
    def ask(place: int) -> Any:
        if place % 2:
            return by_grpc(stub, ROWS[place])
        answer = http.post(PREDICT, json=request_for([ROWS[place]]))
        return answer.json()["predictions"][0] if answer.is_success else answer.text

    batches = processed_batches(http)
    with (
        grpc.insecure_channel(server.grpc_address) as channel,
        ThreadPoolExecutor(len(ROWS)) as clients,
    ):
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        answers = list(clients.map(ask, range(len(ROWS))))
    assert answers == [expected(alone[text], limit) for text, limit in ROWS]
    wait_until(lambda: processed_batches(http) == batches + 1, "one batch of all rows")


def processed_batches(http: httpx.Client) -> float:
    name = ":tensorflow:serving:batching_session:processed_batch_size_count{} "
    lines = http.get("/monitoring/prometheus/metrics").text.splitlines()
    return sum(float(line.removeprefix(name)) for line in lines if line.startswith(name))
