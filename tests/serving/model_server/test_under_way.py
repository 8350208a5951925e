"""Requests that take long: time limits, a full queue, swaps and SIGTERM while they run."""

from __future__ import annotations

import itertools
import json
import select
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from pathlib import Path

import grpc
import httpx
import psutil
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from serving.engines import RunningServer, ServerSpec
from serving.engines.process import ProcessServer
from tests.support.gated_model import Gate, export
from tests.support.waiting import wait_until
from tests.support.warm_model_server import WarmEngine

PREDICT = "/v1/models/gated:predict"
OPEN = {"instances": [""]}
TIMEOUT_MS = 3000
DEADLINE_S = 120


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with versions 1 and 2."""
    folder = tmp_path_factory.mktemp("gated")
    for version in (1, 2):
        export(folder, version)
    return folder


Start = Callable[..., ProcessServer]


@pytest.fixture(scope="module")
def start(exported: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Starts servers of version 1, in a folder of each one's own."""
    with ExitStack() as stack:

        def start(**flags: str) -> ProcessServer:
            base = tmp_path_factory.mktemp("server") / "gated"
            base.mkdir()
            (base / "1").symlink_to(exported / "1")
            # Whoever waits at a gate keeps one of TensorFlow's threads to itself.
            threads = {"tensorflow_inter_op_parallelism": "16"}
            spec = ServerSpec.single("gated", base, {**threads, **flags})
            server = stack.enter_context(WarmEngine().start(spec))
            server.wait_until_available(DEADLINE_S)
            assert isinstance(server, ProcessServer)
            return server

        yield start


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, start: Start) -> ProcessServer:
    """Two threads, two places in the queue, three seconds a request."""
    monitoring = tmp_path_factory.mktemp("monitoring") / "monitoring.config"
    monitoring.write_text('prometheus_config { enable: true path: "/metrics" }')
    return start(
        monitoring_config_file=str(monitoring),
        rest_api_num_threads="2",
        max_queued_requests="2",
        rest_api_timeout_in_ms=str(TIMEOUT_MS),
    )


@pytest.fixture
def http(server: RunningServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.rest_url, timeout=DEADLINE_S, trust_env=False) as client:
        yield client


@pytest.fixture
def gates(tmp_path: Path) -> Iterator[Callable[[], Gate]]:
    """Makes gates, and opens them at the end, whatever becomes of a test."""
    made: list[Gate] = []

    def make() -> Gate:
        made.append(Gate(tmp_path / f"gate-{len(made)}"))
        return made[-1]

    yield make
    for gate in made:
        gate.open()


def body(gate: Gate) -> dict[str, list[str]]:
    return {"instances": [str(gate.path)]}


def by_grpc(gate: Gate) -> predict_pb2.PredictRequest:
    """Which REST's time limit does not hold for."""
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "gated"
    request.inputs["gate"].CopyFrom(tf.make_tensor_proto([str(gate.path)]))
    return request


def computed(http: httpx.Client) -> int:
    """How many requests TensorFlow has computed, by the server's own count."""
    for line in http.get("/metrics").text.splitlines():
        if line.startswith(":tensorflow:serving:runtime_latency_count"):
            return int(line.rsplit(" ", 1)[1])
    return 0


def states(http: httpx.Client) -> dict[str, str]:
    document = http.get("/v1/models/gated").json()
    return {each["version"]: each["state"] for each in document["model_version_status"]}


def test_a_request_that_computes_too_long(
    http: httpx.Client, gates: Callable[[], Gate]
) -> None:
    gate = gates()
    answer = http.post(PREDICT, json=body(gate))
    assert gate.begun()
    assert answer.status_code == 504
    assert http.post(PREDICT, json=OPEN).status_code == 200


def test_a_full_queue_is_said_at_once(http: httpx.Client, gates: Callable[[], Gate]) -> None:
    gate = gates()
    with ThreadPoolExecutor(8) as pool:
        sent = [pool.submit(http.post, PREDICT, json=body(gate)) for _ in range(8)]
        refused = list(itertools.islice(as_completed(sent, timeout=DEADLINE_S), 4))
        gate.open()
        received = [each.result().status_code for each in sent]
    assert [each.result().status_code for each in refused] == [503] * 4
    assert received.count(503) == 4
    assert set(received) <= {200, 503, 504}
    # The places are free again.
    assert http.post(PREDICT, json=OPEN).status_code == 200


def test_a_client_that_goes_away_leaves_the_queue(
    http: httpx.Client, server: ProcessServer, gates: Callable[[], Gate]
) -> None:
    before = computed(http)
    running, gone = [gates(), gates()], gates()
    with grpc.insecure_channel(server.grpc_address) as channel:
        predict = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict
        answers = [predict.future(by_grpc(gate)) for gate in running]
        for gate in running:
            gate.wait_until_begun()
        for _ in range(2):  # together they are more than the queue has places
            with ExitStack() as stack:
                three = [stack.enter_context(asking(server, gone)) for _ in range(3)]
                # Two of them wait behind those that run: the third one is told so.
                (told, *_), _, _ = select.select(three, [], [], DEADLINE_S)
                assert told.recv(100).startswith(b"HTTP/1.1 503 ")
            wait_until_heard(server)
            assert states(http) == {"1": "AVAILABLE"}  # a turn of the server's loop
        assert not any(each.done() for each in answers)
        for gate in running:
            gate.open()
        for answer in answers:
            answer.result()
    http.post(PREDICT, json=OPEN).raise_for_status()
    assert computed(http) - before == 3
    assert not gone.begun()


def asking(server: RunningServer, gate: Gate) -> socket.socket:
    """A connection on which a whole request has been sent."""
    address = ("127.0.0.1", int(server.rest_url.rsplit(":", 1)[1]))
    content = json.dumps(body(gate)).encode()
    head = f"POST {PREDICT} HTTP/1.1\r\nHost: a\r\nContent-Length: {len(content)}\r\n\r\n"
    connection = socket.create_connection(address, DEADLINE_S)
    connection.sendall(head.encode() + content)
    return connection


def wait_until_heard(server: ProcessServer) -> None:
    """Return when the server has closed every connection whose client has."""
    process = psutil.Process(server.process.pid)
    wait_until(
        lambda: all(
            each.status != psutil.CONN_CLOSE_WAIT for each in process.net_connections("tcp")
        ),
        "the server to hear of closed connections",
    )


def test_a_request_under_way_ends_on_the_version_it_began_on(
    exported: Path, start: Start, gates: Callable[[], Gate]
) -> None:
    server, gate = start(), gates()
    base = Path(server.spec.flags["model_base_path"])
    with (
        grpc.insecure_channel(server.grpc_address) as channel,
        httpx.Client(base_url=server.rest_url, timeout=DEADLINE_S, trust_env=False) as http,
    ):
        predict = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict
        under_way = predict.future(by_grpc(gate))
        gate.wait_until_begun()
        (base / "2").symlink_to(exported / "2")
        wait_until(lambda: states(http) == {"1": "UNLOADING", "2": "AVAILABLE"}, "the swap")
        assert http.post(PREDICT, json=OPEN).json()["predictions"] == ["v2"]
        assert states(http) == {"1": "UNLOADING", "2": "AVAILABLE"}
        gate.open()
        response = under_way.result()
        assert response.model_spec.version.value == 1
        assert response.outputs["version_tag"].string_val[0] == b"v1"
        wait_until(lambda: states(http) == {"1": "END", "2": "AVAILABLE"}, "the old one's end")


def test_sigterm_answers_what_is_under_way(start: Start, gates: Callable[[], Gate]) -> None:
    server, gate = start(), gates()
    with (
        ThreadPoolExecutor(2) as pool,
        httpx.Client(base_url=server.rest_url, timeout=DEADLINE_S, trust_env=False) as http,
    ):
        under_way = pool.submit(http.post, PREDICT, json=body(gate))
        gate.wait_until_begun()
        stopped = pool.submit(server.stop, DEADLINE_S)
        wait_until(lambda: "Draining" in server.logs(), "the drain")
        gate.open()
        assert under_way.result().status_code == 200
        stopped.result()
    assert server.exit_status() == 0
    with pytest.raises(httpx.TransportError):
        httpx.get(f"{server.rest_url}/v1/models/gated", trust_env=False, timeout=120)
