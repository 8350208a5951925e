"""Reads config files in TensorFlow Serving's text protos."""

from __future__ import annotations

from pathlib import Path

from google.protobuf import text_format
from google.protobuf.message import Message
from tensorflow_serving.config.model_server_config_pb2 import (
    TENSORFLOW,
    ModelConfig,
    ModelServerConfig,
)

from serving.config_protos import MonitoringConfig
from serving.model_config import PLATFORM
from serving.model_server.errors import failed_precondition, invalid_argument

DEFAULT_METRICS_PATH = "/monitoring/prometheus/metrics"


def read_text_proto(path: str, message: Message, what: str) -> None:
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise invalid_argument(f"cannot read the {what} {path}: {error}") from None
    try:
        text_format.Parse(text, message)
    except text_format.ParseError as error:
        raise invalid_argument(f"{path} is not a text proto of a {what}: {error}") from None


def read_model_config(path: str) -> ModelServerConfig:
    """Read a ``--model_config_file``.

    Raises:
      ServingError: the file is missing or not a text proto of a ModelServerConfig.
    """
    config = ModelServerConfig()
    read_text_proto(path, config, "ModelServerConfig")
    return config


def single_model_config(name: str, base_path: str) -> ModelServerConfig:
    """Return the config that ``--model_name`` and ``--model_base_path`` stand for."""
    config = ModelServerConfig()
    config.model_config_list.config.add(name=name, base_path=base_path, model_platform=PLATFORM)
    return config


def read_metrics_path(path: str) -> str | None:
    """Read the Prometheus path of a ``--monitoring_config_file``; None if monitoring is off.

    Raises:
      ServingError: the file is missing or not a text proto of a MonitoringConfig.
    """
    if not path:
        return None
    config = MonitoringConfig()
    read_text_proto(path, config, "MonitoringConfig")
    prometheus = config.prometheus_config
    if not prometheus.enable:
        return None
    return prometheus.path or DEFAULT_METRICS_PATH


def platform_of(config: ModelConfig) -> str:
    if config.model_type == TENSORFLOW:
        if config.model_platform:
            raise invalid_argument(
                "Illegal setting both ModelServerConfig::model_type (deprecated) and "
                f"ModelServerConfig::model_platform, model name is {config.name}"
            )
        return PLATFORM
    if not config.model_platform:
        raise invalid_argument(
            "Illegal setting neither ModelServerConfig::model_type (deprecated) nor "
            f"ModelServerConfig::model_platform, model name is {config.name}"
        )
    return str(config.model_platform)


def check_model_config(config: ModelServerConfig) -> None:
    """Refuse a config that cannot be served, with TensorFlow Serving's messages.

    Raises:
      ServingError: ``custom_model_config``, a name listed twice, a relative base path, or a
        platform other than ``tensorflow``.
    """
    if config.WhichOneof("config") == "custom_model_config":
        raise failed_precondition("ModelServer does not yet support custom model config.")
    names: set[str] = set()
    for model in config.model_config_list.config:
        if model.name in names:
            raise invalid_argument(
                f"Illegal to list model {model.name} multiple times in config list"
            )
        names.add(model.name)
        if not Path(model.base_path).is_absolute():
            raise invalid_argument(
                f"Expected model {model.name} to have an absolute path or URI; got "
                f"base_path()={model.base_path}"
            )
        if (platform := platform_of(model)) != PLATFORM:
            raise invalid_argument(
                f"Model {model.name} requests unsupported platform {platform}"
            )
