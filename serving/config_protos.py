"""Messages of TensorFlow Serving's config files that ``tensorflow-serving-api`` leaves out.

Names, numbers and types are those of ``tensorflow_serving/config/monitoring_config.proto``
and of ``tensorflow_serving/servables/tensorflow/session_bundle_config.proto``, so that a text
proto written with them is one that ``tensorflow_model_server`` reads.
"""

from __future__ import annotations

from typing import Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, wrappers_pb2

_PACKAGE: Final = "tensorflow.serving"
_FIELD: Final = descriptor_pb2.FieldDescriptorProto
_INT64_VALUE: Final = ".google.protobuf.Int64Value"
_STRING_VALUE: Final = ".google.protobuf.StringValue"

_MESSAGES: Final[dict[str, tuple[tuple[str, int, int | str], ...]]] = {
    "PrometheusConfig": (
        ("enable", 1, _FIELD.TYPE_BOOL),
        ("path", 2, _FIELD.TYPE_STRING),
    ),
    "MonitoringConfig": (("prometheus_config", 1, f".{_PACKAGE}.PrometheusConfig"),),
    "BatchingParameters": (
        ("max_batch_size", 1, _INT64_VALUE),
        ("batch_timeout_micros", 2, _INT64_VALUE),
        ("max_enqueued_batches", 3, _INT64_VALUE),
        ("num_batch_threads", 4, _INT64_VALUE),
        ("thread_pool_name", 5, _STRING_VALUE),
        ("allowed_batch_sizes", 6, _FIELD.TYPE_INT64),
        ("pad_variable_length_inputs", 7, _FIELD.TYPE_BOOL),
    ),
}
_REPEATED: Final = {"allowed_batch_sizes"}


def _pool() -> descriptor_pool.DescriptorPool:
    file = descriptor_pb2.FileDescriptorProto(
        name="tallygraph/serving_config.proto",
        package=_PACKAGE,
        syntax="proto3",
        dependency=[wrappers_pb2.DESCRIPTOR.name],
    )
    for message, fields in _MESSAGES.items():
        described = file.message_type.add(name=message)
        for name, number, kind in fields:
            described.field.add(
                name=name,
                number=number,
                type=_FIELD.TYPE_MESSAGE if isinstance(kind, str) else kind,
                type_name=kind if isinstance(kind, str) else None,
                label=_FIELD.LABEL_REPEATED if name in _REPEATED else _FIELD.LABEL_OPTIONAL,
            )
    # A pool of its own: a process that has TensorFlow Serving's real ones can have both.
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(file)
    return pool


def _message_class(name: str) -> Any:
    return message_factory.GetMessageClass(_POOL.FindMessageTypeByName(f"{_PACKAGE}.{name}"))


_POOL: Final = _pool()
MonitoringConfig: Final = _message_class("MonitoringConfig")
BatchingParameters: Final = _message_class("BatchingParameters")
