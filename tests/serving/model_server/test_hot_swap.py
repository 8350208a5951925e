"""New, broken, repaired and removed versions, while clients keep asking."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import httpx
import pytest
import tensorflow as tf
from google.protobuf import text_format
from tensorflow_serving.apis import (
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from serving.engines import RunningServer, ServerSpec
from tests.support.waiting import wait_until
from tests.support.warm_model_server import WarmEngine

PREDICT = "/v1/models/fixture:predict"
DEADLINE_S = 120.0

pytestmark = pytest.mark.in_order  # one story of versions that come and go

Export = Callable[[Path, int], None]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory, export_fixture: Export) -> Path:
    """Version 1, and next to it, ready to be moved in, 2 to 4."""
    base = tmp_path_factory.mktemp("swap") / "fixture"
    export_fixture(base, 1)
    for version in (2, 3, 4):
        export_fixture(base.parent / "ready", version)
    return base


@pytest.fixture(scope="module")
def server(base: Path) -> Iterator[RunningServer]:
    flags = {"max_num_load_retries": "1", "load_retry_interval_micros": "300000"}
    with WarmEngine().start(ServerSpec.single("fixture", base, flags)) as server:
        server.wait_until_available(120)
        yield server


def statuses(server: RunningServer) -> dict[int, tuple[str, str, str]]:
    document = httpx.get(
        f"{server.rest_url}/v1/models/fixture", trust_env=False, timeout=120
    ).json()
    return {
        int(each["version"]): (
            each["state"],
            each["status"]["error_code"],
            each["status"]["error_message"],
        )
        for each in document["model_version_status"]
    }


def wait_for(server: RunningServer, expected: dict[int, str]) -> None:
    wait_until(
        lambda: {version: each[0] for version, each in statuses(server).items()} == expected,
        str(expected),
    )


class Load:
    """Clients of both protocols that never stop asking; remembers every answer."""

    def __init__(self, server: RunningServer) -> None:
        self._server = server
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._rest) for _ in range(3)]
        self._threads += [threading.Thread(target=self._grpc) for _ in range(2)]
        self.answers: list[list[str]] = []
        self.failures: list[str] = []

    def _rest(self) -> None:
        tags: list[str] = []
        self.answers.append(tags)
        with httpx.Client(
            base_url=self._server.rest_url, timeout=DEADLINE_S, trust_env=False
        ) as http:
            while not self._stop.is_set():
                try:
                    answer = http.post(PREDICT, json={"instances": ["a"]})
                    answer.raise_for_status()
                    tags.append(answer.json()["predictions"][0]["version_tag"])
                except httpx.HTTPError as error:
                    self.failures.append(repr(error))

    def _grpc(self) -> None:
        tags: list[str] = []
        self.answers.append(tags)
        request = predict_pb2.PredictRequest()
        request.model_spec.name = "fixture"
        request.inputs["text"].CopyFrom(tf.make_tensor_proto([b"a"]))
        with grpc.insecure_channel(self._server.grpc_address) as channel:
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            while not self._stop.is_set():
                try:
                    response = stub.Predict(request, timeout=DEADLINE_S)
                    tag = response.outputs["version_tag"].string_val[0].decode()
                    assert tag == f"v{response.model_spec.version.value}"
                    tags.append(tag)
                except grpc.RpcError as error:
                    self.failures.append(repr(error))

    def wait_until_all_see(self, tag: str) -> None:
        """Each client's latest answer is a version's: a change shows in the next one only."""
        wait_until(
            lambda: (
                [tags[-1] for tags in list(self.answers) if tags] == [tag] * len(self._threads)
            ),
            f"every client to see {tag}",
        )

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


def test_versions_come_and_go_without_a_failed_request(
    server: RunningServer, base: Path
) -> None:
    ready = base.parent / "ready"
    with Load(server) as load:
        load.wait_until_all_see("v1")
        (ready / "2").rename(base / "2")
        wait_for(server, {1: "END", 2: "AVAILABLE"})
        load.wait_until_all_see("v2")
        # A broken version: tried twice, reported, and the old one goes on serving.
        (base / "3").mkdir()
        (base / "3" / "saved_model.pb").write_bytes(b"this is no graph")
        wait_for(server, {1: "END", 2: "AVAILABLE", 3: "END"})
        state, code, message = statuses(server)[3]
        assert (state, code != "OK", bool(message)) == ("END", True, True)
        # Written again, it is loaded.
        (base / "3").rename(base.parent / "broken")
        (ready / "3").rename(base / "3")
        wait_for(server, {1: "END", 2: "END", 3: "AVAILABLE"})
        load.wait_until_all_see("v3")
        # Rolled back by removing it.
        (base / "3").rename(ready / "3")
        wait_for(server, {1: "END", 2: "AVAILABLE", 3: "END"})
        load.wait_until_all_see("v2")
    assert load.failures == []
    for tags in load.answers:
        # Each client saw the versions in this order, and each of them, once.
        changes = [tag for i, tag in enumerate(tags) if i == 0 or tags[i - 1] != tag]
        assert changes == ["v1", "v2", "v3", "v2"]


def test_a_version_that_is_still_being_written_is_left_alone(
    server: RunningServer, base: Path
) -> None:
    (base / "9" / "variables").mkdir(parents=True)
    # Whoever has seen a version that was moved in after it has seen it, too.
    (base.parent / "ready" / "4").rename(base / "4")
    wait_for(server, {1: "END", 2: "END", 3: "END", 4: "AVAILABLE"})
    assert 9 not in statuses(server)


def reload(server: RunningServer, text: str) -> model_management_pb2.ReloadConfigResponse:
    request = model_management_pb2.ReloadConfigRequest()
    text_format.Parse(text, request.config)
    with grpc.insecure_channel(server.grpc_address) as channel:
        stub = model_service_pb2_grpc.ModelServiceStub(channel)
        return stub.HandleReloadConfigRequest(request, timeout=DEADLINE_S)


MODEL = """
config {
  name: "%s" base_path: "%s" model_platform: "tensorflow" %s
}
"""


def test_another_config_by_grpc(server: RunningServer, base: Path) -> None:
    ready = base.parent / "ready"
    both = "model_version_policy { specific { versions: 2 versions: 4 } }"
    other = MODEL % ("other", ready, "")
    response = reload(
        server, f"model_config_list {{ {MODEL % ('fixture', base, both)} {other} }}"
    )
    assert response.status.error_code == 0
    # A reload returns when the models it adds are AVAILABLE.
    answer = httpx.post(
        f"{server.rest_url}/v1/models/other:predict",
        json={"instances": ["a"]},
        trust_env=False,
        timeout=120,
    )
    assert answer.json()["predictions"][0]["version_tag"] == "v3"
    wait_for(server, {1: "END", 2: "AVAILABLE", 3: "END", 4: "AVAILABLE"})

    label = f'{both} version_labels {{ key: "stable" value: 2 }}'
    reload(server, f"model_config_list {{ {MODEL % ('fixture', base, label)} }}")
    answer = httpx.post(
        f"{server.rest_url}/v1/models/fixture/labels/stable:predict",
        json={"instances": ["a"]},
        trust_env=False,
        timeout=120,
    )
    assert answer.json()["predictions"][0]["version_tag"] == "v2"

    wrong = f'{both} version_labels {{ key: "stable" value: 99 }}'
    with pytest.raises(grpc.RpcError) as refused:
        reload(server, f"model_config_list {{ {MODEL % ('fixture', base, wrong)} }}")
    assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert refused.value.details() == (
        "Request to assign label to version 99 of model fixture, which is not currently "
        "available for inference"
    )
    with pytest.raises(grpc.RpcError) as refused:
        reload(server, "")
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
