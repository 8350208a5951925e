"""Config files in the text protos that TensorFlow Serving reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format
from google.protobuf.message import Message
from tensorflow_serving.config.model_server_config_pb2 import (
    TENSORFLOW,
    ModelConfig,
    ModelServerConfig,
)

from serving.model_server.errors import failed_precondition, invalid_argument

PLATFORM = "tensorflow"
DEFAULT_METRICS_PATH = "/monitoring/prometheus/metrics"


def _monitoring_config_class() -> Any:
    """``tensorflow.serving.MonitoringConfig``, which tensorflow-serving-api leaves out."""
    file = descriptor_pb2.FileDescriptorProto(
        name="tallygraph/monitoring_config.proto",
        package="tensorflow.serving",
        syntax="proto3",
    )
    field = descriptor_pb2.FieldDescriptorProto
    prometheus = file.message_type.add(name="PrometheusConfig")
    prometheus.field.add(
        name="enable", number=1, type=field.TYPE_BOOL, label=field.LABEL_OPTIONAL
    )
    prometheus.field.add(
        name="path", number=2, type=field.TYPE_STRING, label=field.LABEL_OPTIONAL
    )
    file.message_type.add(name="MonitoringConfig").field.add(
        name="prometheus_config",
        number=1,
        type=field.TYPE_MESSAGE,
        type_name=".tensorflow.serving.PrometheusConfig",
        label=field.LABEL_OPTIONAL,
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(
        pool.FindMessageTypeByName("tensorflow.serving.MonitoringConfig")
    )


MonitoringConfig = _monitoring_config_class()


def _read_text_proto(path: str, message: Message, what: str) -> None:
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise invalid_argument(f"cannot read the {what} {path}: {error}") from None
    try:
        text_format.Parse(text, message)
    except text_format.ParseError as error:
        raise invalid_argument(f"{path} is no text proto of a {what}: {error}") from None


def read_model_config(path: str) -> ModelServerConfig:
    """Read a ``--model_config_file``.

    Raises:
      ServingError: the file is missing or not a text proto of a ModelServerConfig.
    """
    config = ModelServerConfig()
    _read_text_proto(path, config, "ModelServerConfig")
    return config


def single_model_config(name: str, base_path: str) -> ModelServerConfig:
    """What ``--model_name`` and ``--model_base_path`` stand for."""
    config = ModelServerConfig()
    config.model_config_list.config.add(name=name, base_path=base_path, model_platform=PLATFORM)
    return config


def read_metrics_path(path: str) -> str | None:
    """The Prometheus path of a ``--monitoring_config_file``; None where it is off.

    Raises:
      ServingError: the file is missing or not a text proto of a MonitoringConfig.
    """
    if not path:
        return None
    config = MonitoringConfig()
    _read_text_proto(path, config, "MonitoringConfig")
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
