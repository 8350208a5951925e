"""A server with the files and flags that `tallygraph serve` gives it, and many clients."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import grpc
import httpx
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from serving.engines import Batching, RunningServer, ServerFiles
from tests.support.warm_model_server import WarmEngine

CLIENTS = 64
ROUNDS = 4
BATCH = 32
DEADLINE_S = 120.0


@contextmanager
def started(folder: Path, base: Path, batching: Batching | None) -> Iterator[RunningServer]:
    files = ServerFiles.write(folder / "models.config", "summarizer", base, batching)
    with WarmEngine().start(files.spec(("summarizer",))) as server:
        server.wait_until_available(DEADLINE_S)
        yield server


def ask_at_once(server: RunningServer, http: httpx.Client) -> list[str]:
    """Every client asks once, half of them over gRPC; returns their summaries."""

    def by_rest(text: str) -> str:
        answer = http.post("/v1/models/summarizer:predict", json={"instances": [text]})
        answer.raise_for_status()
        summary: str = answer.json()["predictions"][0]["summary"]
        return summary

    def by_grpc(text: str) -> str:
        request = predict_pb2.PredictRequest()
        request.model_spec.name = "summarizer"
        request.inputs["text"].CopyFrom(tf.make_tensor_proto([text]))
        outputs = stub.Predict(request, timeout=DEADLINE_S).outputs
        return outputs["summary"].string_val[0].decode()

    with (
        grpc.insecure_channel(server.grpc_address) as channel,
        ThreadPoolExecutor(CLIENTS) as clients,
    ):
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        answers = [
            clients.submit(by_grpc if number % 2 else by_rest, f"client {number}")
            for number in range(CLIENTS)
        ]
        return [answer.result() for answer in answers]


def full_batches(http: httpx.Client) -> tuple[float, float]:
    """How many batches were computed, and their rows."""
    page = http.get("/monitoring/prometheus/metrics").text
    name = ":tensorflow:serving:batching_session:processed_batch_size"
    values = dict(line.rsplit(" ", 1) for line in page.splitlines())
    return float(values[f"{name}_count{{}}"]), float(values[f"{name}_sum{{}}"])


@pytest.mark.parametrize("batched", [False, True])
def test_nobody_is_refused_and_batches_are_full(
    tmp_path: Path, metered_base: Path, batched: bool
) -> None:
    # A batch waits longer than any test: it is computed once it is full.
    batching = Batching(max_batch_size=BATCH, batch_timeout_micros=600_000_000)
    limits = httpx.Limits(max_connections=CLIENTS)
    with (
        started(tmp_path, metered_base, batching if batched else None) as server,
        httpx.Client(
            base_url=server.rest_url, timeout=DEADLINE_S, trust_env=False, limits=limits
        ) as http,
    ):
        for _ in range(ROUNDS):
            answers = ask_at_once(server, http)
            assert answers == [f"CLIENT {number}" for number in range(CLIENTS)]
        if batched:
            rows = ROUNDS * CLIENTS
            assert full_batches(http) == (rows / BATCH, rows)
