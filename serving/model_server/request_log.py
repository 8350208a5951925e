"""Logs sampled predict requests and their responses in files that can warm up a model.

Works like TensorFlow Serving's ``ServerRequestLogger`` with a collector of our own, because its
open-source build has none. A request never waits for the disk: one thread writes the records
from a bounded queue, and a record that finds it full is dropped and counted.
"""

from __future__ import annotations

import logging
import math
import random
import tempfile
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2
from tensorflow_serving.config.logging_config_pb2 import LoggingConfig
from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

from serving.model_server.errors import ServingError, invalid_argument, not_found
from serving.model_server.metrics import Metrics
from serving.model_server.record_files import RecordFiles
from serving.protocol.statuses import Code

_LOG = logging.getLogger(__name__)

COLLECTOR_TYPE = "tfrecord"
MAX_QUEUED_RECORDS = 1000
MAX_QUEUED_BYTES = 64 * 1024 * 1024
FLUSH_INTERVAL_S = 1.0
STOP_TIMEOUT_S = 10.0

Messages = tuple[predict_pb2.PredictRequest, predict_pb2.PredictResponse]


@dataclass(frozen=True)
class Answered:
    """A predict request and its response.

    Attributes:
      model: the name of the model that computed it.
      size_bytes: approximate size in memory.
      messages: makes the request's and the response's message; called on the log's thread.
      at: seconds since the epoch.
    """

    model: str
    size_bytes: int
    messages: Callable[[], Messages]
    at: float = field(default_factory=time.time)


class RequestLog:
    """The logs of all models; one instance per process. Safe for use by many threads."""

    def __init__(self, metrics: Metrics, tags: Sequence[str], max_file_bytes: int) -> None:
        """
        Args:
          tags: the tags that the models were loaded with.
          max_file_bytes: see ``RecordFiles``.
        """
        self._metrics = metrics
        self._tags = tuple(tags)
        self._max_file_bytes = max_file_bytes
        self._configs: Mapping[str, LoggingConfig] = {}
        self._changed = threading.Condition()
        self._queue: deque[tuple[LoggingConfig, Answered]] = deque()
        self._queued_bytes = 0
        self._stopping = False
        self._thread: threading.Thread | None = None
        # The thread's own.
        self._files: dict[str, RecordFiles] = {}
        self._unflushed: Counter[tuple[str, str]] = Counter()

    def use(self, configs: Mapping[str, LoggingConfig]) -> None:
        """Log these models from now on, and no others."""
        with self._changed:
            self._configs = dict(configs)
            if configs and self._thread is None and not self._stopping:
                self._thread = threading.Thread(
                    target=self._work, name="request-log", daemon=True
                )
                self._thread.start()
            self._changed.notify()

    def samples(self, model: str) -> bool:
        """Whether to log the model's next request; drawn at random in each call."""
        config = self._configs.get(model)
        return config is not None and random.random() < config.sampling_config.sampling_rate

    def add(self, answered: Answered) -> None:
        """Log a request, unless the queue is full."""
        with self._changed:
            config = self._configs.get(answered.model)
            if config is None or self._stopping:
                return
            full = len(self._queue) >= MAX_QUEUED_RECORDS or (
                len(self._queue) > 0
                and self._queued_bytes + answered.size_bytes > MAX_QUEUED_BYTES
            )
            if not full:
                self._queue.append((config, answered))
                self._queued_bytes += answered.size_bytes
                self._changed.notify()
        if full:
            self._metrics.request_logs.add(answered.model, Code.RESOURCE_EXHAUSTED.name)

    def stop(self) -> None:
        """Write what is queued and close the files. Nothing is logged afterwards."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(STOP_TIMEOUT_S)

    # The thread.

    def _work(self) -> None:
        flush_at = time.monotonic() + FLUSH_INTERVAL_S
        while True:
            with self._changed:
                while not (self._queue or self._stopping or self._unused()):
                    self._changed.wait()
                if not self._queue and self._stopping:
                    break
                entry = self._queue.popleft() if self._queue else None
                if entry is not None:
                    self._queued_bytes -= entry[1].size_bytes
                idle = not self._queue
            if entry is not None:
                self._write(*entry)
            if idle or time.monotonic() >= flush_at:
                self._flush()
                flush_at = time.monotonic() + FLUSH_INTERVAL_S
            if idle:
                self._close(self._unused())
        self._close(set(self._files))

    def _unused(self) -> set[str]:
        """Prefixes of open files that no config names any more."""
        return set(self._files) - {
            config.log_collector_config.filename_prefix for config in self._configs.values()
        }

    def _write(self, config: LoggingConfig, answered: Answered) -> None:
        prefix = config.log_collector_config.filename_prefix
        files = self._files.get(prefix)
        if files is None:
            files = self._files[prefix] = RecordFiles(prefix, self._max_file_bytes)
        try:
            record = self._record(config, answered)
        except Exception as error:
            # Nothing that a request holds may end the thread.
            _LOG.exception("A request could not be logged")
            self._metrics.request_logs.add(answered.model, _code(error).name)
            return
        self._unflushed[prefix, answered.model] += 1
        self._settle(prefix, lambda: files.write(record), final=False)
        if files.is_full:
            self._settle(prefix, files.flush)

    def _record(self, config: LoggingConfig, answered: Answered) -> bytes:
        request, response = answered.messages()
        log = prediction_log_pb2.PredictionLog()
        log.predict_log.request.CopyFrom(request)
        log.predict_log.response.CopyFrom(response)
        metadata = log.log_metadata
        metadata.model_spec.CopyFrom(response.model_spec)
        metadata.sampling_config.CopyFrom(config.sampling_config)
        metadata.saved_model_tags.extend(self._tags)
        metadata.timestamp_secs = int(answered.at)
        serialized: bytes = log.SerializeToString()
        return serialized

    def _flush(self) -> None:
        for prefix, files in self._files.items():
            self._settle(prefix, files.flush)

    def _close(self, prefixes: set[str]) -> None:
        for prefix in prefixes:
            self._settle(prefix, self._files.pop(prefix).close)

    def _settle(self, prefix: str, step: Callable[[], None], final: bool = True) -> None:
        """Write, flush or close, and count what that has brought to the disk, or lost."""
        status = Code.OK
        try:
            step()
            if not final:
                return
        except tf.errors.OpError as error:
            status = _code(error)
            _LOG.error("Records of the request log %s are lost: %s", prefix, error)
        for key in [key for key in self._unflushed if key[0] == prefix]:
            self._metrics.request_logs.add(key[1], status.name, by=self._unflushed.pop(key))


def logging_configs(config: ModelServerConfig) -> dict[str, LoggingConfig]:
    """Return the models of a config to log, and how.

    Raises:
      ServingError: an unknown collector type, an invalid sampling rate, or a prefix in a folder
        that cannot be written to.
    """
    configs = {
        model.name: model.logging_config
        for model in config.model_config_list.config
        if model.HasField("logging_config")
    }
    for name, logged in configs.items():
        _check(name, logged)
    return configs


def _check(model: str, config: Any) -> None:
    collector = config.log_collector_config
    if collector.type != COLLECTOR_TYPE:
        raise not_found(f"Cannot find LogCollector::Factory for type: {collector.type}")
    rate = config.sampling_config.sampling_rate
    if math.isnan(rate) or not 0 <= rate <= 1:
        raise invalid_argument(
            f"sampling_rate of model {model} must be between 0 and 1. Received: {rate}"
        )
    prefix = collector.filename_prefix
    folder = Path(prefix).parent
    if not Path(prefix).is_absolute() or not Path(prefix).name:
        raise invalid_argument(
            f"filename_prefix of model {model} must be the absolute path of a folder "
            f"followed by the beginning of a file name. Received: {prefix!r}"
        )
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ServingError(
            Code.FAILED_PRECONDITION,
            f"cannot write the request log of model {model} to {folder} (filename_prefix "
            f"{prefix!r}): {error}. Create the folder, or allow the server to write to it",
        ) from None


def _code(error: Exception) -> Code:
    return (
        Code.of_number(error.error_code)
        if isinstance(error, tf.errors.OpError)
        else Code.INTERNAL
    )
