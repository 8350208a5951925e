"""Every recorded answer of TensorFlow Serving, asked of our server with batching on.

The recordings are of a server without batching. All of them hold: none asks for what
batching forbids (an input or an output that is no batch).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import grpc
import httpx
import pytest

from serving.engines import RunningServer, ServerSpec
from tests.serving.model_server.test_grpc_reference import (
    test_recorded_answer as test_recorded_grpc_answer,  # noqa: F401
)
from tests.serving.model_server.test_rest_reference import (
    test_recorded_answer as test_recorded_rest_answer,  # noqa: F401
)
from tests.support.warm_model_server import WarmEngine

MODELS = """
model_config_list {
  config {
    name: "fixture"
    base_path: "%s"
    model_platform: "tensorflow"
    model_version_policy { specific { versions: 1 versions: 2 } }
    version_labels { key: "stable" value: 1 }
    version_labels { key: "canary" value: 2 }
  }
}
"""
BATCHING = """
    max_batch_size { value: 8 }
    batch_timeout_micros { value: 1000 }
    allowed_batch_sizes: 4
    allowed_batch_sizes: 8
"""


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, fixture_base: Path
) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("batching-reference")
    for name, text in (("models", MODELS % fixture_base), ("batching", BATCHING)):
        (folder / name).write_text(text)
    (folder / "monitoring").write_text("prometheus_config { enable: true }")
    flags = {
        "allow_version_labels_for_unavailable_models": "true",
        "monitoring_config_file": str(folder / "monitoring"),
        "enable_batching": "true",
        "batching_parameters_file": str(folder / "batching"),
    }
    spec = ServerSpec.from_config(("fixture",), folder / "models", flags)
    with WarmEngine().start(spec) as server:
        server.wait_until_available(120)
        yield server


@pytest.fixture(scope="module")
def rest(server: RunningServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.rest_url, timeout=120, trust_env=False) as client:
        yield client


@pytest.fixture(scope="module")
def channel(server: RunningServer) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(server.grpc_address) as channel:
        yield channel


def test_they_were_computed_in_batches(rest: httpx.Client) -> None:
    rest.post("/v1/models/fixture:predict", json={"instances": ["a"]}).raise_for_status()
    page = rest.get("/monitoring/prometheus/metrics").text
    assert 'batching_session:padding_size_count{execution_batch_size="4"}' in page
