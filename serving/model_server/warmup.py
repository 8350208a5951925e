"""Replays a version's recorded requests before it is AVAILABLE."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from pathlib import Path

import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from serving.model_server.errors import invalid_argument
from serving.model_server.metrics import Metrics
from serving.model_server.saved_model import LoadedModel
from serving.model_server.tensors import array_from_proto

_LOG = logging.getLogger(__name__)

WARMUP_FILE = "assets.extra/tf_serving_warmup_requests"
MAX_RECORDS = 1000


def read_warmup_requests(model_path: Path) -> Iterator[predict_pb2.PredictRequest]:
    """Read the predict requests of a SavedModel's warm-up file; none if it has no file.

    Records of other APIs (classify, regress, ...) are skipped, with a line in the log.

    Raises:
      ServingError: a record is not a ``PredictionLog``, or there are more than 1,000.
    """
    path = model_path / WARMUP_FILE
    if not path.exists():
        return
    records = tf.data.TFRecordDataset(str(path)).as_numpy_iterator()
    for index, record in enumerate(records):
        if index >= MAX_RECORDS:
            raise invalid_argument(
                f"Number of warmup records exceeds the maximum ({MAX_RECORDS}) at {path}"
            )
        log = prediction_log_pb2.PredictionLog()
        try:
            log.ParseFromString(record)
        except DecodeError as error:
            raise invalid_argument(
                f"Failed to parse warmup record: {index} from {path}: {error}"
            ) from None
        kind = log.WhichOneof("log_type")
        if kind == "predict_log":
            yield log.predict_log.request
        else:
            _LOG.warning("Warm-up record %d of %s is a %s and is skipped", index, path, kind)


def warm_up(model: LoadedModel, iterations: int, max_bytes: int, metrics: Metrics) -> int:
    """Replay a model's warm-up requests.

    Args:
      iterations: number of times that each request is run.
      max_bytes: the largest input, as for a client's request.

    Returns:
      The number of requests that were replayed.

    Raises:
      ServingError: one of them failed; the version must not become AVAILABLE.
    """
    started = time.perf_counter()
    count = 0
    status = "INTERNAL"
    try:
        for request in read_warmup_requests(model.path):
            inputs = {
                alias: array_from_proto(alias, proto, max_bytes)
                for alias, proto in request.inputs.items()
            }
            for _ in range(max(1, iterations)):
                model.run(request.model_spec.signature_name, inputs, request.output_filter)
            count += 1
        status = "OK"
    except tf.errors.OpError as error:
        raise invalid_argument(f"Failed to read warm-up records: {error.message}") from None
    finally:
        if count or status != "OK":
            metrics.warmup_latency.add(
                str(model.path),
                status,
                value=(time.perf_counter() - started) * 1e6,
            )
    return count
