"""The config files and flags that a server of metered models is started with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Self

from google.protobuf import text_format

from serving.config_protos import BatchingParameters, MonitoringConfig
from serving.engines.base import EngineError, ServerSpec
from serving.model_config import FILE_NAME, ModelConfigFile

METRICS_PATH: Final = "/monitoring/prometheus/metrics"
MONITORING_FILE: Final = "monitoring.config"
BATCHING_FILE: Final = "batching_parameters.txt"

# TensorFlow Serving starts four threads for each CPU, refuses a gRPC request that finds none
# free, and never has more rows to batch than threads.
_UNBATCHED_THREADS: Final = 64
_BATCHES_UNDER_WAY: Final = 4
# It tries a version that fails six times, a minute apart, before it says why.
_LOADING: Final = MappingProxyType(
    {"max_num_load_retries": "2", "load_retry_interval_micros": "2000000"}
)


@dataclass(frozen=True)
class Batching:
    """How a server puts rows of several requests into one batch.

    Attributes:
      max_batch_size: maximum number of rows; a request with more is rejected.
      batch_timeout_micros: longest time that a row waits for others, in microseconds.
      num_batch_threads: number of batches computed at the same time.
      max_enqueued_batches: number of full batches that may wait; more are rejected with
          UNAVAILABLE.
      allowed_batch_sizes: a batch is padded to the next of these; ascending, the last one is
        ``max_batch_size``. None: no padding.
    """

    max_batch_size: int = 32
    batch_timeout_micros: int = 5_000
    num_batch_threads: int = 2
    max_enqueued_batches: int = 100
    allowed_batch_sizes: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            least = 0 if each.name == "batch_timeout_micros" else 1
            if each.name != "allowed_batch_sizes" and value < least:
                raise ValueError(f"{each.name} must be at least {least}. Received: {value}")
        sizes = self.allowed_batch_sizes
        if sizes and (list(sizes) != sorted(set(sizes)) or sizes[-1] != self.max_batch_size):
            raise ValueError(
                "allowed_batch_sizes must be ascending and end with max_batch_size, "
                f"{self.max_batch_size}. Received: {list(sizes)}"
            )

    def proto(self) -> Any:
        """Return TensorFlow Serving's ``BatchingParameters``."""
        parameters = BatchingParameters(allowed_batch_sizes=self.allowed_batch_sizes)
        parameters.max_batch_size.value = self.max_batch_size
        parameters.batch_timeout_micros.value = self.batch_timeout_micros
        parameters.num_batch_threads.value = self.num_batch_threads
        parameters.max_enqueued_batches.value = self.max_enqueued_batches
        return parameters


@dataclass(frozen=True)
class ServerFiles:
    """A model config, and the other files that a server reads, next to it."""

    model_config: ModelConfigFile
    flags: Mapping[str, str]

    @classmethod
    def write(
        cls,
        model_config: Path,
        name: str,
        base_path: Path,
        batching: Batching | None = None,
        threads: int = 0,
    ) -> Self:
        """Add a model to a model config, and write the other files.

        Args:
          model_config: file, created if missing; the entry of a model that is already in it
            does not change, so that a restarted server serves the same versions.
          name, base_path: the model.
          batching: None for no batching.
          threads: requests that the server works on at the same time, those that wait in a
            batch included; 0: enough for four batches.

        Raises:
          ModelConfigError: the model config is not valid or cannot be written.
          EngineError: the other files cannot be written.
        """
        config = ModelConfigFile(model_config.resolve())
        with config.locked():
            config.add_model(name, base_path)
        monitoring = MonitoringConfig()
        monitoring.prometheus_config.enable = True
        monitoring.prometheus_config.path = METRICS_PATH
        folder = config.path.parent
        flags = {
            "monitoring_config_file": _written(folder / MONITORING_FILE, monitoring),
            # The file may name a label and its version, which is not loaded yet at the start.
            "allow_version_labels_for_unavailable_models": "true",
            **_LOADING,
            **_thread_flags(batching, threads),
        }
        if batching:
            flags["enable_batching"] = "true"
            flags["batching_parameters_file"] = _written(
                folder / BATCHING_FILE, batching.proto()
            )
        return cls(config, flags)

    def spec(
        self,
        model_names: tuple[str, ...],
        flags: Mapping[str, str] | None = None,
        grpc_port: int = 0,
        rest_port: int = 0,
        log_file: Path | None = None,
    ) -> ServerSpec:
        """Return the spec of a server with these files; see `ServerSpec`."""
        return ServerSpec.from_config(
            model_names,
            self.model_config.path,
            {**self.flags, **(flags or {})},
            grpc_port,
            rest_port,
            log_file,
        )


def _thread_flags(batching: Batching | None, threads: int) -> dict[str, str]:
    if batching is None:
        # Over REST, requests wait for a thread: more of them would only compute side by side.
        rest = {"rest_api_num_threads": str(threads)} if threads else {}
        return {"grpc_max_threads": str(threads or _UNBATCHED_THREADS), **rest}
    number = str(threads or _BATCHES_UNDER_WAY * batching.max_batch_size)
    return {"grpc_max_threads": number, "rest_api_num_threads": number}


def default_model_config(base_path: Path) -> Path:
    """Return the path of the model config for a model's folder: next to that folder."""
    return base_path.resolve().parent / FILE_NAME


def _written(path: Path, message: Any) -> str:
    try:
        path.write_text(text_format.MessageToString(message), encoding="utf-8")
    except OSError as error:
        raise EngineError(f"Cannot write {path}: {error}") from None
    return str(path)
