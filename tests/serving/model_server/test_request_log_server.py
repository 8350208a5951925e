"""A server that logs: both protocols alike, until it is told otherwise, to the last one."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
import tensorflow as tf
from google.protobuf import text_format
from tensorflow_serving.apis import (
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_log_pb2,
    prediction_service_pb2_grpc,
)

from serving.engines import EngineError, RunningServer, ServerSpec
from serving.model_server.metrics import Metrics
from serving.model_server.saved_model import LoadedModel, LoadOptions
from serving.model_server.warmup import warm_up
from tests.support.waiting import wait_until
from tests.support.warm_model_server import WarmEngine

PREDICT = "/v1/models/summarizer:predict"
DEADLINE_S = 120.0

pytestmark = pytest.mark.in_order  # one server's log, to its end

TEXTS = ["one two", "", "\u00e9 \U0001f600", "a b c d e f g h i"]
LOGGING = """
logging_config {
  log_collector_config { type: "%s" filename_prefix: "%s" }
  sampling_config { sampling_rate: %s }
}
"""


def models(base: Path, logging: str) -> str:
    return f"""
    model_config_list {{
      config {{
        name: "summarizer" base_path: "{base}" model_platform: "tensorflow"
        {logging}
      }}
    }}
    """


def start(folder: Path, base: Path, logging: str) -> RunningServer:
    (folder / "models.config").write_text(models(base, logging))
    (folder / "batching.config").write_text("max_batch_size { value: 64 }")
    flags = {
        "enable_batching": "true",
        "batching_parameters_file": str(folder / "batching.config"),
    }
    spec = ServerSpec.from_config(("summarizer",), folder / "models.config", flags)
    server = WarmEngine().start(spec)
    try:
        server.wait_until_available(120)
    except EngineError:
        server.stop()
        raise
    return server


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("logging")
    (folder / "logs").mkdir()
    return folder


@pytest.fixture(scope="module")
def server(folder: Path, metered_base: Path) -> Iterator[RunningServer]:
    logging = LOGGING % ("tfrecord", folder / "logs" / "requests", "1.0")
    with start(folder, metered_base, logging) as server:
        yield server


def grpc_request(*texts: str) -> predict_pb2.PredictRequest:
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "summarizer"
    request.inputs["text"].CopyFrom(tf.make_tensor_proto(list(texts), dtype=tf.string))
    return request


def ask_by_grpc(
    server: RunningServer, request: predict_pb2.PredictRequest
) -> predict_pb2.PredictResponse:
    with grpc.insecure_channel(server.grpc_address) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        return stub.Predict(request, timeout=DEADLINE_S)


def ask_by_rest(
    server: RunningServer, *texts: str, path: str = PREDICT
) -> list[dict[str, Any]]:
    answer = httpx.post(
        f"{server.rest_url}{path}",
        json={"instances": list(texts)},
        timeout=DEADLINE_S,
        trust_env=False,
    )
    answer.raise_for_status()
    return answer.json()["predictions"]


def records(folder: Path, prefix: str = "") -> list[prediction_log_pb2.PredictionLog]:
    logs = []
    for path in sorted((folder / "logs").glob(f"{prefix}*")):
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            logs.append(prediction_log_pb2.PredictionLog.FromString(record))
    return logs


def wait_for_records(folder: Path, number: int) -> list[prediction_log_pb2.PredictionLog]:
    wait_until(lambda: len(records(folder)) >= number, f"{number} records")
    return records(folder)


def arrays(tensors: Mapping[str, Any]) -> dict[str, list[Any]]:
    return {name: tf.make_ndarray(proto).tolist() for name, proto in dict(tensors).items()}


def test_both_protocols_are_logged_alike(server: RunningServer, folder: Path) -> None:
    before = len(records(folder))
    ask_by_rest(server, *TEXTS, path="/v1/models/summarizer/versions/7:predict")
    response = ask_by_grpc(server, grpc_request(*TEXTS))
    by_rest, by_grpc = wait_for_records(folder, before + 2)[before:]
    assert by_rest.predict_log.request.model_spec.version.value == 7  # as it was asked
    assert not by_grpc.predict_log.request.model_spec.HasField("version")
    assert by_grpc.predict_log.response == response
    for record in (by_rest, by_grpc):
        request = record.predict_log.request
        assert request.model_spec.name == "summarizer"
        assert arrays(request.inputs) == {"text": [text.encode() for text in TEXTS]}
        assert arrays(record.predict_log.response.outputs) == arrays(response.outputs)
        spec = record.log_metadata.model_spec
        assert (spec.name, spec.version.value) == ("summarizer", 7)
        assert spec.signature_name == "serving_default"
        assert record.log_metadata.sampling_config.sampling_rate == 1.0
        assert list(record.log_metadata.saved_model_tags) == ["serve"]
        assert abs(record.log_metadata.timestamp_secs - time.time()) < 600


def test_requests_that_fail_are_not_logged(server: RunningServer, folder: Path) -> None:
    before = len(records(folder))
    with pytest.raises(httpx.HTTPStatusError):
        ask_by_rest(server, *["a"] * 65)  # more than a batch holds
    ask_by_rest(server, "a")
    assert len(wait_for_records(folder, before + 1)) == before + 1


def test_a_log_warms_a_model_up(
    server: RunningServer, folder: Path, metered_base: Path, tmp_path: Path
) -> None:
    before = len(records(folder))
    ask_by_rest(server, "warm", "up")
    logged = wait_for_records(folder, before + 1)
    path = tmp_path / "7"
    shutil.copytree(metered_base / "7", path)
    warm_up_file = path / "assets.extra" / "tf_serving_warmup_requests"
    with tf.io.TFRecordWriter(str(warm_up_file)) as writer:
        for record in logged:
            writer.write(record.SerializeToString())
    (only,) = (folder / "logs").iterdir()  # and a whole file does so as it is
    for file in (warm_up_file, only):
        if file is only:
            shutil.copyfile(only, warm_up_file)
        model = LoadedModel(path, LoadOptions())
        assert warm_up(model, 1, 1024 * 1024, Metrics()) >= len(logged)
        model.close()


def reload(server: RunningServer, base: Path, logging: str) -> None:
    request = model_management_pb2.ReloadConfigRequest()
    text_format.Parse(models(base, logging), request.config)
    with grpc.insecure_channel(server.grpc_address) as channel:
        stub = model_service_pb2_grpc.ModelServiceStub(channel)
        stub.HandleReloadConfigRequest(request, timeout=DEADLINE_S)


def test_a_reload_stops_changes_and_starts_it(
    server: RunningServer, folder: Path, metered_base: Path
) -> None:
    before = len(records(folder))
    reload(server, metered_base, "")
    ask_by_rest(server, "not logged")
    with pytest.raises(grpc.RpcError) as refused:
        reload(server, metered_base, LOGGING % ("unknown", "/tmp/a", "1.0"))
    assert refused.value.code() is grpc.StatusCode.NOT_FOUND
    assert refused.value.details() == "Cannot find LogCollector::Factory for type: unknown"
    with pytest.raises(grpc.RpcError) as refused:
        reload(server, metered_base, LOGGING % ("tfrecord", "/no/such/a", "1.0"))
    assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert "cannot write the request log of model summarizer" in (refused.value.details() or "")
    ask_by_rest(server, "not logged either")
    reload(server, metered_base, LOGGING % ("tfrecord", folder / "logs" / "again", "1.0"))
    ask_by_rest(server, "logged")
    (last,) = [
        record
        for record in wait_for_records(folder, before + 1)
        if arrays(record.predict_log.request.inputs) == {"text": [b"logged"]}
    ]
    assert last.log_metadata.model_spec.version.value == 7
    assert len(records(folder)) == before + 1


def test_sigterm_loses_nothing(server: RunningServer, folder: Path, metered_base: Path) -> None:
    reload(server, metered_base, LOGGING % ("tfrecord", folder / "logs" / "last", "1.0"))
    for number in range(50):
        ask_by_rest(server, str(number))
    server.stop()
    assert server.exit_status() == 0
    texts = [
        record.predict_log.request.inputs["text"].string_val[0].decode()
        for record in records(folder, "last-")
    ]
    assert sorted(texts) == sorted(str(number) for number in range(50))


def test_a_folder_that_cannot_be_written_to_stops_the_start(
    tmp_path: Path, metered_base: Path
) -> None:
    with pytest.raises(EngineError) as refused:
        start(tmp_path, metered_base, LOGGING % ("tfrecord", "/proc/a", "1.0"))
    assert (
        "Failed to start server. Error: FAILED_PRECONDITION: cannot write the request"
        in str(refused.value)
    )
