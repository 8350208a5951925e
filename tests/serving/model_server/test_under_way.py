"""Requests that take long: time limits, a full queue, swaps and SIGTERM while they run."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import httpx
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from serving.engines import RunningServer, ServerSpec, choose_engine

pytestmark = pytest.mark.alone

PREDICT = "/v1/models/slow:predict"
TIMEOUT_MS = 3000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """Two threads, two places in the queue, three seconds a request."""
    base = tmp_path_factory.mktemp("slow") / "slow"
    from tests.support.slow_model import export

    export(base, 1)
    export(base.parent / "ready", 2)
    monitoring = base.parent / "monitoring.config"
    monitoring.write_text('prometheus_config { enable: true path: "/metrics" }')
    flags = {
        "monitoring_config_file": str(monitoring),
        "rest_api_num_threads": "2",
        "max_queued_requests": "2",
        "rest_api_timeout_in_ms": str(TIMEOUT_MS),
    }
    with choose_engine("local").start(ServerSpec.single("slow", base, flags)) as server:
        server.wait_until_available(120)
        yield server


@pytest.fixture(scope="module")
def http(server: RunningServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.rest_url, timeout=30, trust_env=False) as client:
        yield client


@pytest.fixture
def rounds(http: httpx.Client) -> int:
    """As many rounds as keep this machine busy for about a second."""
    number = 2000
    while True:
        started = time.monotonic()
        http.post(PREDICT, json={"instances": [number]}).raise_for_status()
        if (seconds := time.monotonic() - started) > 0.2:
            return int(number / seconds)
        number *= 4


def slow_request(rounds: int) -> predict_pb2.PredictRequest:
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "slow"
    request.inputs["rounds"].CopyFrom(tf.make_tensor_proto([rounds]))
    return request


def computed(http: httpx.Client) -> int:
    """How many requests TensorFlow has computed, by the server's own count."""
    for line in http.get("/metrics").text.splitlines():
        if line.startswith(":tensorflow:serving:runtime_latency_count"):
            return int(line.rsplit(" ", 1)[1])
    return 0


def states(http: httpx.Client) -> dict[str, str]:
    document = http.get("/v1/models/slow").json()
    return {each["version"]: each["state"] for each in document["model_version_status"]}


def test_a_request_that_computes_too_long(http: httpx.Client, rounds: int) -> None:
    started = time.monotonic()
    answer = http.post(PREDICT, json={"instances": [rounds * 60]})
    assert answer.status_code == 504
    assert time.monotonic() - started < 20
    assert http.post(PREDICT, json={"instances": [1]}).status_code == 200


def test_a_full_queue_is_said_at_once(http: httpx.Client, rounds: int) -> None:
    with ThreadPoolExecutor(8) as pool:
        sent = [pool.submit(http.post, PREDICT, json={"instances": [rounds]}) for _ in range(8)]
        received = sorted(each.result().status_code for each in sent)
    assert received.count(503) == 4
    assert set(received) <= {200, 503, 504}
    answer = http.post(PREDICT, json={"instances": [1]})
    assert answer.status_code == 200  # the places are free again


def test_a_client_that_goes_away_leaves_the_queue(
    http: httpx.Client, server: RunningServer, rounds: int
) -> None:
    before = computed(http)
    with grpc.insecure_channel(server.grpc_address) as channel:
        predict = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict
        running = [predict.future(slow_request(rounds * 2)) for _ in range(2)]
        time.sleep(0.3)
        for _ in range(4):  # more than the queue has places; each waits behind those two
            with pytest.raises(httpx.ReadTimeout):
                httpx.post(
                    f"{server.rest_url}{PREDICT}",
                    json={"instances": [1]},
                    timeout=0.1,
                    trust_env=False,
                )
        assert not any(each.done() for each in running)
        for each in running:
            each.result()
    http.post(PREDICT, json={"instances": [1]}).raise_for_status()
    assert computed(http) - before == 3


def test_a_request_under_way_ends_on_the_version_it_began_on(
    http: httpx.Client, server: RunningServer, rounds: int
) -> None:
    base = Path(server.spec.flags["model_base_path"])
    with grpc.insecure_channel(server.grpc_address) as channel:
        predict = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict
        # Longer than finding and loading the next version takes, and than REST allows.
        slow = predict.future(slow_request(rounds * 5))
        (base.parent / "ready" / "2").rename(base / "2")
        seen: list[dict[str, str]] = []
        while not slow.done():
            seen.append(states(http))
            time.sleep(0.05)
        response = slow.result()
    assert response.model_spec.version.value == 1
    assert response.outputs["version_tag"].string_val[0] == b"v1"
    assert {"1": "UNLOADING", "2": "AVAILABLE"} in seen
    deadline = time.monotonic() + 10
    while states(http)["1"] != "END" and time.monotonic() < deadline:
        time.sleep(0.05)
    assert states(http) == {"1": "END", "2": "AVAILABLE"}
    shutil.rmtree(base / "1")


def test_sigterm_answers_what_is_under_way(
    http: httpx.Client, server: RunningServer, rounds: int
) -> None:
    with ThreadPoolExecutor(2) as pool:
        slow = pool.submit(http.post, PREDICT, json={"instances": [int(rounds * 1.5)]})
        time.sleep(0.3)
        stopped = pool.submit(server.stop)
        assert slow.result().status_code == 200
        stopped.result()
    assert server.exit_status() == 0
    with pytest.raises(httpx.TransportError):
        httpx.get(f"{server.rest_url}/v1/models/slow", trust_env=False)
