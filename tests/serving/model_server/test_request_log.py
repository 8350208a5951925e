"""Requests and answers in files: what is dropped, how files end, what config is refused."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import tensorflow as tf
from google.protobuf import text_format
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2
from tensorflow_serving.config.logging_config_pb2 import LoggingConfig
from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

from serving.model_server.errors import ServingError
from serving.model_server.metrics import Metrics
from serving.model_server.request_log import (
    MAX_QUEUED_BYTES,
    MAX_QUEUED_RECORDS,
    Answered,
    Messages,
    RequestLog,
    logging_configs,
)
from serving.protocol.statuses import Code
from tests.support.waiting import wait_until

DEADLINE_S = 120.0


def config(prefix: Path | str, rate: float = 1.0, kind: str = "tfrecord") -> LoggingConfig:
    return text_format.Parse(
        f'log_collector_config {{ type: "{kind}" filename_prefix: "{prefix}" }} '
        f"sampling_config {{ sampling_rate: {rate} }}",
        LoggingConfig(),
    )


def answered(number: int, messages: Callable[[], Messages] | None = None) -> Answered:
    def plain() -> Messages:
        request, response = predict_pb2.PredictRequest(), predict_pb2.PredictResponse()
        request.model_spec.name = response.model_spec.name = "m"
        response.model_spec.version.value = number
        return request, response

    return Answered("m", 10, messages or plain, at=1_700_000_000.5)


def records(folder: Path) -> list[prediction_log_pb2.PredictionLog]:
    logs = []
    for path in sorted(folder.iterdir()):
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            logs.append(prediction_log_pb2.PredictionLog.FromString(record))
    return logs


def versions(folder: Path) -> list[int]:
    return [each.log_metadata.model_spec.version.value for each in records(folder)]


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def log(metrics: Metrics) -> Iterator[RequestLog]:
    log = RequestLog(metrics, ["serve"], 1024 * 1024)
    yield log
    log.stop()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "logs"
    folder.mkdir()
    return folder


def counted(metrics: Metrics, code: str) -> int:
    name = f':tensorflow:serving:request_log_count{{model_name="m",status_code="{code}"}} '
    for line in metrics.page().splitlines():
        if line.startswith(name):
            return int(line.removeprefix(name))
    return 0


def test_a_record_is_on_disk_soon_and_says_what_it_is(
    log: RequestLog, metrics: Metrics, folder: Path
) -> None:
    log.use({"m": config(folder / "a", 0.5)})
    log.add(answered(7))
    wait_until(lambda: counted(metrics, "OK") == 1, "the count of a record")
    (record,) = records(folder)
    assert record.predict_log.request.model_spec.name == "m"
    metadata = record.log_metadata
    assert (metadata.model_spec.name, metadata.model_spec.version.value) == ("m", 7)
    assert metadata.sampling_config.sampling_rate == 0.5
    assert list(metadata.saved_model_tags) == ["serve"]
    assert metadata.timestamp_secs == 1_700_000_000


def test_the_sampling_rate_is_kept(log: RequestLog, folder: Path) -> None:
    assert not log.samples("m")
    for rate, least, most in ((0.0, 0, 0), (1.0, 1000, 1000), (0.5, 300, 700)):
        log.use({"m": config(folder / "a", rate)})
        assert least <= sum(log.samples("m") for _ in range(1000)) <= most
        assert not log.samples("other")


def test_what_does_not_fit_is_dropped_and_counted(
    log: RequestLog, metrics: Metrics, folder: Path
) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slow() -> Messages:
        begun.set()
        assert go_on.wait(DEADLINE_S)
        return answered(0).messages()

    log.use({"m": config(folder / "a")})
    log.add(answered(0, slow))
    assert begun.wait(DEADLINE_S)
    for number in range(1, MAX_QUEUED_RECORDS + 6):  # as many as there is room for, and 5
        log.add(answered(number))
    assert counted(metrics, "RESOURCE_EXHAUSTED") == 5
    go_on.set()
    log.stop()
    assert versions(folder) == list(range(MAX_QUEUED_RECORDS + 1))
    assert counted(metrics, "OK") == MAX_QUEUED_RECORDS + 1


def test_large_requests_fill_the_queue_too(
    log: RequestLog, metrics: Metrics, folder: Path
) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slow() -> Messages:
        begun.set()
        assert go_on.wait(DEADLINE_S)
        return answered(0).messages()

    log.use({"m": config(folder / "a")})
    log.add(answered(0, slow))
    assert begun.wait(DEADLINE_S)
    for _ in range(3):
        log.add(Answered("m", MAX_QUEUED_BYTES // 2, answered(1).messages))
    assert counted(metrics, "RESOURCE_EXHAUSTED") == 1
    go_on.set()
    log.stop()
    assert versions(folder) == [0, 1, 1]


def test_files_are_begun_anew_when_they_are_large(metrics: Metrics, folder: Path) -> None:
    for _ in range(2):  # a restart never writes to a file that is there
        log = RequestLog(metrics, ["serve"], 200)
        log.use({"m": config(folder / "a")})
        for number in range(20):
            log.add(answered(number))
        log.stop()
    assert sorted(versions(folder)) == sorted([*range(20)] * 2)
    sizes = [path.stat().st_size for path in folder.iterdir()]
    assert len(sizes) > 8
    assert max(sizes) < 200 + 100  # the limit, and the record that reached it
    assert all(path.name.startswith("a-") for path in folder.iterdir())


def test_a_request_that_cannot_be_written_does_not_end_the_log(
    log: RequestLog, metrics: Metrics, folder: Path
) -> None:
    def wrong() -> Messages:
        raise ValueError("no messages")

    log.use({"m": config(folder / "a")})
    log.add(answered(1, wrong))
    log.add(answered(2))
    wait_until(lambda: counted(metrics, "OK") == 1, "the count of a record")
    assert counted(metrics, "INTERNAL") == 1
    assert versions(folder) == [2]


def test_a_folder_that_goes_away_and_comes_back(
    log: RequestLog, metrics: Metrics, folder: Path
) -> None:
    log.use({"m": config(folder / "a")})
    folder.rmdir()
    log.add(answered(1))
    wait_until(lambda: counted(metrics, "NOT_FOUND") == 1, "the count of a record")
    folder.mkdir()
    log.add(answered(2))
    wait_until(lambda: counted(metrics, "OK") == 1, "the count of a record")
    assert versions(folder) == [2]


def test_another_prefix_from_another_config_on(
    log: RequestLog, metrics: Metrics, folder: Path
) -> None:
    log.use({"m": config(folder / "a")})
    log.add(answered(1))
    log.use({"m": config(folder / "b")})
    log.add(answered(2))
    wait_until(lambda: counted(metrics, "OK") == 2, "the count of a record")
    assert versions(folder) == [1, 2]
    assert [path.name[0] for path in sorted(folder.iterdir())] == ["a", "b"]
    log.use({})
    log.add(answered(3))
    log.stop()
    assert versions(folder) == [1, 2]


@pytest.mark.parametrize(
    ("wrong", "code", "message"),
    [
        (
            config("/tmp/a", kind="file"),
            Code.NOT_FOUND,
            "Cannot find LogCollector::Factory for type: file",
        ),
        (
            config("/tmp/a", rate=1.5),
            Code.INVALID_ARGUMENT,
            "sampling_rate of model m must be between 0 and 1. Received: 1.5",
        ),
        (
            config("logs/a"),
            Code.INVALID_ARGUMENT,
            "filename_prefix of model m must be the absolute path of a folder followed by "
            "the beginning of a file name. Received: 'logs/a'",
        ),
        (
            config("/no/such/folder/a"),
            Code.FAILED_PRECONDITION,
            "cannot write the request log of model m to /no/such/folder (filename_prefix "
            "'/no/such/folder/a'): ",
        ),
        # Not even root may write there.
        (config("/proc/a"), Code.FAILED_PRECONDITION, "request log of model m to /proc "),
    ],
)
def test_wrong_configs_are_refused(wrong: LoggingConfig, code: Code, message: str) -> None:
    models = ModelServerConfig()
    model = models.model_config_list.config.add(name="m")
    model.logging_config.CopyFrom(wrong)
    models.model_config_list.config.add(name="other")
    with pytest.raises(ServingError) as refused:
        logging_configs(models)
    assert refused.value.code is code
    assert message in refused.value.message
