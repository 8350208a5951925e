"""Labels move between versions of a running server, and no request fails."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import httpx
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from serving.engines import RunningServer, ServerFiles
from serving.engines.base import HeldPorts
from serving.model_config import ModelConfigError
from serving.rollout import LabelError, ModelServers, Rollout, RolloutError, ServerError
from tests.serving.gateway.thread_limited_server import thread_limited_server
from tests.support.sizes import sized
from tests.support.waiting import wait_until
from tests.support.warm_model_server import WarmEngine

Export = Callable[[Path, int], None]
CYCLES = sized(quick=4, long=20)
DEADLINE_S = 120.0


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory, export_fixture: Export) -> Path:
    base = tmp_path_factory.mktemp("rollout") / "fixture"
    for version in (1, 2, 3):
        export_fixture(base, version)
    (base / "4").mkdir()
    # A message without a graph: that it cannot be loaded, only a server finds.
    (base / "4" / "saved_model.pb").write_bytes(b"\x08\x01")
    (base / "5").mkdir()
    (base / "5" / "saved_model.pb").write_bytes(b"this is no message")
    return base


@pytest.fixture(scope="module")
def files(base: Path) -> ServerFiles:
    # Broken versions are the newest: what is served must be said from the start.
    files = ServerFiles.write(base.parent / "models.config", "fixture", base)
    Rollout(files.model_config, "fixture", ModelServers([])).promote(1)
    return files


@pytest.fixture(scope="module")
def server(files: ServerFiles) -> Iterator[RunningServer]:
    spec = files.spec(("fixture",), {"max_num_load_retries": "0"})
    with WarmEngine().start(spec) as server:
        server.wait_until_available(120)
        yield server


@pytest.fixture
def rollout(files: ServerFiles, server: RunningServer) -> Iterator[Rollout]:
    """Starts from version 1 as the stable one, and nothing else."""
    with ModelServers([server.grpc_address]) as servers:
        rollout = Rollout(files.model_config, "fixture", servers, load_timeout_s=DEADLINE_S)
        for label in set(rollout.labels()) - {"stable"}:
            rollout.unlabel(label)
        if rollout.labels()["stable"] != 1:
            rollout.promote(1)
            rollout.unlabel("previous")
        yield rollout


def answer(server: RunningServer, place: str) -> str:
    response = httpx.post(
        f"{server.rest_url}/v1/models/fixture{place}:predict",
        json={"instances": ["a"]},
        timeout=DEADLINE_S,
        trust_env=False,
    )
    body = response.json()
    return body["predictions"][0]["version_tag"] if response.is_success else body["error"]


def states(rollout: Rollout, server: RunningServer) -> dict[int, str]:
    with ModelServers([server.grpc_address]) as servers:
        return servers.states("fixture")[server.grpc_address]


def test_a_canary_is_tried_promoted_and_rolled_back(
    rollout: Rollout, server: RunningServer
) -> None:
    assert answer(server, "/labels/stable") == "v1"
    change = rollout.label("canary", 2)
    assert (change.before, change.after) == ({"stable": 1}, {"stable": 1, "canary": 2})
    assert answer(server, "/labels/stable") == "v1"
    assert answer(server, "/labels/canary") == "v2"
    rollout.promote()
    assert rollout.labels() == {"stable": 2, "previous": 1}
    assert answer(server, "/labels/stable") == "v2"
    assert answer(server, "/labels/previous") == "v1"
    assert answer(server, "/labels/canary") == "Unrecognized servable version label: canary"
    rollout.roll_back()
    assert rollout.labels() == {"stable": 1}
    assert answer(server, "/labels/stable") == "v1"
    # What has no label is unloaded, and stays on disk.
    rollout.promote(3)
    rollout.promote(2)
    assert states(rollout, server)[2] == "AVAILABLE"
    assert answer(server, "/versions/1") in (
        "Servable not found for request: Specific(fixture, 1)",
        "v1",  # until it is unloaded
    )


class Clients:
    """Ask for a label over both protocols without a pause, and keep what answered them."""

    def __init__(self, server: RunningServer, label: str) -> None:
        self._server = server
        self._label = label
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._rest) for _ in range(2)]
        self._threads += [threading.Thread(target=self._grpc) for _ in range(2)]
        self.answers: Counter[str] = Counter()
        self.failures: list[str] = []
        self._lock = threading.Lock()

    def _rest(self) -> None:
        path = f"/v1/models/fixture/labels/{self._label}:predict"
        with httpx.Client(
            base_url=self._server.rest_url, timeout=DEADLINE_S, trust_env=False
        ) as http:
            while not self._stop.is_set():
                response = http.post(path, json={"instances": ["a"]})
                if response.is_success:
                    self._had(response.json()["predictions"][0]["version_tag"])
                else:
                    self.failures.append(response.text)

    def _grpc(self) -> None:
        request = predict_pb2.PredictRequest()
        request.model_spec.name = "fixture"
        request.model_spec.version_label = self._label
        request.inputs["text"].CopyFrom(tf.make_tensor_proto([b"a"]))
        with grpc.insecure_channel(self._server.grpc_address) as channel:
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            while not self._stop.is_set():
                try:
                    response = stub.Predict(request, timeout=DEADLINE_S)
                except grpc.RpcError as error:
                    self.failures.append(f"{error.code()}: {error.details()}")
                    continue
                tag = response.outputs["version_tag"].string_val[0].decode()
                if tag != f"v{response.model_spec.version.value}":
                    self.failures.append(f"{tag} from {response.model_spec}")
                self._had(tag)

    def _had(self, tag: str) -> None:
        with self._lock:
            self.answers[tag] += 1

    def wait_for(self, tag: str, answers: int = 4) -> None:
        """Return when a version has given so many more answers."""
        wanted = self.answers[tag] + answers
        wait_until(lambda: self.answers[tag] >= wanted, f"answers of {tag}")

    def __enter__(self) -> Clients:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


@pytest.mark.sized
def test_promotions_and_rollbacks_under_load(rollout: Rollout, server: RunningServer) -> None:
    with Clients(server, "stable") as clients:
        clients.wait_for("v1")
        for cycle in range(CYCLES):
            version = 2 + cycle % 2
            rollout.promote(version)
            clients.wait_for(f"v{version}")
            rollout.roll_back()
            clients.wait_for("v1")
    assert clients.failures == []
    assert set(clients.answers) == {"v1", "v2", "v3"}


def test_a_version_that_cannot_be_loaded_changes_nothing(
    rollout: Rollout, server: RunningServer, files: ServerFiles
) -> None:
    rollout.label("canary", 2)
    before = files.model_config.path.read_bytes()
    with Clients(server, "stable") as clients:
        clients.wait_for("v1")
        with pytest.raises(RolloutError, match=r"cannot load version 4 of fixture: ") as caught:
            rollout.promote(4)
        assert str(caught.value).endswith("The labels were not changed.")
        with pytest.raises(RolloutError, match=r"no version 9 of fixture.*\[1, 2, 3, 4, 5\]"):
            rollout.promote(9)
        with pytest.raises(
            RolloutError, match=r"Version 5 .*no protocol buffer, or was cut off"
        ):
            rollout.promote(5)
        clients.wait_for("v1")
    assert (clients.failures, set(clients.answers)) == ([], {"v1"})
    assert files.model_config.path.read_bytes() == before
    assert answer(server, "/labels/canary") == "v2"


def test_a_server_that_is_not_there_changes_nothing(
    files: ServerFiles, server: RunningServer, rollout: Rollout, nobody: HeldPorts
) -> None:
    gone = f"127.0.0.1:{nobody.numbers[0]}"
    before = files.model_config.path.read_bytes()
    with (
        ModelServers([server.grpc_address, gone]) as both,
        pytest.raises(RolloutError) as failed,
    ):
        Rollout(files.model_config, "fixture", both).promote(2)
    message = str(failed.value)
    assert f"{gone} did not accept the config (UNAVAILABLE" in message
    assert "Check that a model server is running there." in message
    assert f"not changed, except on {gone}, which cannot be reached." in message
    assert files.model_config.path.read_bytes() == before
    assert answer(server, "/labels/stable") == "v1"
    assert answer(server, "/labels/previous") == "Unrecognized servable version label: previous"


def test_a_server_that_is_busy_is_not_said_to_be_away(server: RunningServer) -> None:
    busy = "The server is busy: 64 requests are waiting"
    with (
        thread_limited_server(server.grpc_address) as limited,
        ModelServers([f"127.0.0.1:{limited.port}"]) as servers,
    ):
        limited.refuse("GetModelStatus", 1, grpc.StatusCode.UNAVAILABLE, busy)
        with pytest.raises(ServerError) as refused:
            servers.states("fixture")
    assert str(refused.value) == (
        f"127.0.0.1:{limited.port} does not report the state of its versions "
        f"(UNAVAILABLE: {busy})."
    )


def test_one_change_at_a_time(rollout: Rollout, files: ServerFiles) -> None:
    with (
        files.model_config.locked(),
        pytest.raises(ModelConfigError, match="being changed by another program"),
    ):
        rollout.promote(2)
    with pytest.raises(LabelError, match="is already the stable one"):
        rollout.promote(1)


def test_a_restarted_server_serves_the_same_labels(base: Path, tmp_path: Path) -> None:
    files = ServerFiles.write(tmp_path / "models.config", "fixture", base)
    offline = Rollout(files.model_config, "fixture", ModelServers([]))
    offline.promote(2)
    offline.promote(3)
    # As `serve` does at each start: what the file says stays.
    files = ServerFiles.write(tmp_path / "models.config", "fixture", base)
    with WarmEngine().start(files.spec(("fixture",))) as server:
        server.wait_until_available(120)
        assert answer(server, "/labels/stable") == "v3"
        assert answer(server, "/labels/previous") == "v2"
        with ModelServers([server.grpc_address]) as servers:
            Rollout(files.model_config, "fixture", servers).roll_back()
        assert answer(server, "/labels/stable") == "v2"
