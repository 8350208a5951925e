"""Clients of a running server, and what its process holds, for the endurance tests."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import grpc
import httpx
import pytest
import tensorflow as tf
from google.protobuf import text_format
from tensorflow_serving.apis import (
    get_model_status_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from serving.engines.process import ProcessServer
from tests.support.waiting import wait_until

PREDICT = "/v1/models/fixture:predict"
DEADLINE_S = 120.0
BAD_EVERY = 40  # one in so many requests is refused
CONFIG = """
model_config_list { config {
  name: "fixture" base_path: "%s" model_platform: "tensorflow"
  model_version_policy { specific { versions: %d } }
} }
"""


@dataclass(frozen=True)
class Usage:
    """What a process holds, as Linux tells it.

    Attributes:
      memory_kib: anonymous memory, in RAM: what was allocated, without files that are mapped.
    """

    memory_kib: int
    threads: int
    files: int


def usage(server: ProcessServer) -> Usage:
    """What the server's process holds now."""
    process = Path("/proc") / str(server.process.pid)
    memory = next(
        line.split()[1]
        for line in (process / "smaps_rollup").read_text().splitlines()
        if line.startswith("Anonymous:")
    )
    threads, files = (len([*(process / each).iterdir()]) for each in ("task", "fd"))
    return Usage(int(memory), threads, files)


def usage_at_rest(server: ProcessServer, files: int) -> Usage:
    """Once no more files are open than before: the server has seen that its clients went."""
    wait_until(lambda: usage(server).files <= files, f"no more than {files} open files")
    return usage(server)


class RestCalls:
    """One client's, on one connection that is kept open."""

    def __init__(self, server: ProcessServer) -> None:
        self._http = httpx.Client(base_url=server.rest_url, timeout=DEADLINE_S, trust_env=False)

    def good(self, number: int) -> tuple[str, None]:
        """The version tag of the answer, which is checked; REST names no version."""
        text = f"request {number}"
        answer = self._http.post(PREDICT, json={"instances": [text]})
        answer.raise_for_status()
        [row] = answer.json()["predictions"]
        assert row["upper"] == text.upper()
        return row["version_tag"], None

    def bad(self, number: int) -> None:
        kinds = (
            (PREDICT, '{"instances": [', 400),
            (PREDICT, f'{{"instances": [{number}]}}', 400),
            (f"/v1/models/none-{number}:predict", '{"instances": ["a"]}', 404),
            (f"/elsewhere/{number}", "", 404),
        )
        path, body, status = kinds[number // BAD_EVERY % len(kinds)]
        assert self._http.post(path, content=body).status_code == status

    def close(self) -> None:
        self._http.close()


class GrpcCalls:
    """One client's, on one channel that is kept open and shares no connection."""

    def __init__(self, server: ProcessServer) -> None:
        self._channel = grpc.insecure_channel(
            server.grpc_address, options=[("grpc.use_local_subchannel_pool", 1)]
        )
        self._stub = prediction_service_pb2_grpc.PredictionServiceStub(self._channel)

    def good(self, number: int) -> tuple[str, int]:
        """The version tag of the answer, which is checked, and the version it names."""
        text = f"request {number}"
        response = self._predict("fixture", text.encode())
        assert response.outputs["upper"].string_val[0].decode() == text.upper()
        tag = response.outputs["version_tag"].string_val[0].decode()
        return tag, response.model_spec.version.value

    def bad(self, number: int) -> None:
        kinds = (
            ("fixture", 1.5, grpc.StatusCode.INVALID_ARGUMENT),
            (f"none-{number}", b"a", grpc.StatusCode.NOT_FOUND),
        )
        name, value, code = kinds[number // BAD_EVERY % len(kinds)]
        with pytest.raises(grpc.RpcError) as refused:
            self._predict(name, value)
        assert refused.value.code() is code

    def close(self) -> None:
        self._channel.close()

    def _predict(self, name: str, value: bytes | float) -> predict_pb2.PredictResponse:
        request = predict_pb2.PredictRequest()
        request.model_spec.name = name
        request.inputs["text"].CopyFrom(tf.make_tensor_proto([value]))
        return self._stub.Predict(request, timeout=DEADLINE_S)


def clients_of(server: ProcessServer, count: int) -> list[RestCalls | GrpcCalls]:
    """Clients, of both protocols by turns."""
    return [(RestCalls, GrpcCalls)[i % 2](server) for i in range(count)]


class Swapper:
    """Changes the one version that is served."""

    def __init__(self, server: ProcessServer, base: Path) -> None:
        self._channel = grpc.insecure_channel(server.grpc_address)
        self._stub = model_service_pb2_grpc.ModelServiceStub(self._channel)
        self._base = base

    def swap_to(self, version: int) -> None:
        """Return when the version is the only one in memory."""
        request = model_management_pb2.ReloadConfigRequest()
        text_format.Parse(CONFIG % (self._base, version), request.config)
        self._stub.HandleReloadConfigRequest(request, timeout=DEADLINE_S)
        wait_until(lambda: self._in_memory() == {version}, f"version {version} to be in memory")

    def _in_memory(self) -> set[int]:
        request = get_model_status_pb2.GetModelStatusRequest()
        request.model_spec.name = "fixture"
        state = get_model_status_pb2.ModelVersionStatus.State
        return {
            each.version
            for each in self._stub.GetModelStatus(
                request, timeout=DEADLINE_S
            ).model_version_status
            if each.state != state.END
        }

    def __enter__(self) -> Swapper:
        return self

    def __exit__(self, *_: object) -> None:
        self._channel.close()
