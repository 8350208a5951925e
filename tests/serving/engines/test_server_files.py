"""The files that a server is started with are text protos that TensorFlow Serving reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from google.protobuf import text_format

from serving.config_protos import BatchingParameters, MonitoringConfig
from serving.engines import Batching, ServerFiles, default_model_config
from serving.model_config import ModelConfigError


def test_flags_and_files(tmp_path: Path) -> None:
    base = tmp_path / "serving" / "summarizer"
    batching = Batching(max_batch_size=8, num_batch_threads=3, allowed_batch_sizes=(1, 4, 8))
    files = ServerFiles.write(default_model_config(base), "summarizer", base, batching)
    folder = tmp_path / "serving"
    assert dict(files.spec(("summarizer",), {"x": "y"}).flags) == {
        "model_config_file": str(folder / "models.config"),
        "monitoring_config_file": str(folder / "monitoring.config"),
        "allow_version_labels_for_unavailable_models": "true",
        "max_num_load_retries": "2",
        "load_retry_interval_micros": "2000000",
        "grpc_max_threads": "32",
        "rest_api_num_threads": "32",
        "enable_batching": "true",
        "batching_parameters_file": str(folder / "batching_parameters.txt"),
        "x": "y",
    }
    monitoring = text_format.Parse(
        (folder / "monitoring.config").read_text(), MonitoringConfig()
    )
    assert monitoring.prometheus_config.path == "/monitoring/prometheus/metrics"
    written = (folder / "batching_parameters.txt").read_text()
    parameters = text_format.Parse(written, BatchingParameters())
    assert parameters.max_batch_size.value == 8
    assert parameters.num_batch_threads.value == 3
    assert list(parameters.allowed_batch_sizes) == [1, 4, 8]
    # As TensorFlow Serving's guide to batching writes it.
    assert "max_batch_size {\n  value: 8\n}" in written


def test_threads_follow_what_is_served(tmp_path: Path) -> None:
    def threads(batching: Batching | None, threads: int = 0) -> tuple[str | None, str | None]:
        flags = ServerFiles.write(
            tmp_path / "models.config", "m", tmp_path / "m", batching, threads
        ).flags
        return flags["grpc_max_threads"], flags.get("rest_api_num_threads")

    assert threads(None) == ("64", None)
    assert threads(None, 5) == ("5", "5")
    assert threads(Batching(max_batch_size=16)) == ("64", "64")
    assert threads(Batching(max_batch_size=16), 100) == ("100", "100")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"max_batch_size": 0}, "max_batch_size must be at least 1. Received: 0"),
        ({"batch_timeout_micros": -1}, "batch_timeout_micros must be at least 0"),
        ({"max_batch_size": 4, "allowed_batch_sizes": (2,)}, "end with max_batch_size, 4"),
        ({"max_batch_size": 4, "allowed_batch_sizes": (4, 2, 4)}, "must be ascending"),
    ],
)
def test_batching_that_a_server_would_refuse(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Batching(**values)


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ModelConfigError, match="Cannot lock"):
        ServerFiles.write(tmp_path / "file" / "models.config", "m", tmp_path)
