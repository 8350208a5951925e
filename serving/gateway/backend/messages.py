"""Messages of TensorFlow Serving's gRPC API, without TensorFlow.

Names, numbers and types are those of ``tensorflow_serving/apis/*.proto`` and of
``tensorflow/core/framework/tensor*.proto``, as far as the gateway reads or writes them: what a
message has besides is kept unread, as protobuf does with unknown fields. Enums are ``int32``,
which is the same on the wire.
"""

from __future__ import annotations

from typing import Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, wrappers_pb2

_FIELD: Final = descriptor_pb2.FieldDescriptorProto
_PACKAGE: Final = "tensorflow.serving"

DT_INT32: Final = 3
DT_STRING: Final = 7
DT_INT64: Final = 9
AVAILABLE: Final = 30
"""``ModelVersionStatus.State``'s number of a version that answers."""


class _Map(str):
    """The message that a map from strings has as its values."""


class _Repeated(str):
    """A message that may come any number of times."""


_INT32S: Final = ("repeated", _FIELD.TYPE_INT32)
_INT64S: Final = ("repeated", _FIELD.TYPE_INT64)
_BYTESES: Final = ("repeated", _FIELD.TYPE_BYTES)
_STRINGS: Final = ("repeated", _FIELD.TYPE_STRING)

_Kind = int | str | tuple[str, int]
_MESSAGES: Final[dict[str, tuple[tuple[str, int, _Kind], ...]]] = {
    "Dim": (("size", 1, _FIELD.TYPE_INT64),),
    "TensorShapeProto": (
        ("dim", 2, _Repeated("Dim")),
        ("unknown_rank", 3, _FIELD.TYPE_BOOL),
    ),
    "TensorProto": (
        ("dtype", 1, _FIELD.TYPE_INT32),
        ("tensor_shape", 2, "TensorShapeProto"),
        ("tensor_content", 4, _FIELD.TYPE_BYTES),
        ("int_val", 7, _INT32S),
        ("string_val", 8, _BYTESES),
        ("int64_val", 10, _INT64S),
    ),
    "ModelSpec": (
        ("name", 1, _FIELD.TYPE_STRING),
        ("version", 2, ".google.protobuf.Int64Value"),
        ("signature_name", 3, _FIELD.TYPE_STRING),
        ("version_label", 4, _FIELD.TYPE_STRING),
    ),
    "PredictRequest": (
        ("model_spec", 1, "ModelSpec"),
        ("inputs", 2, _Map("TensorProto")),
    ),
    "PredictResponse": (
        ("outputs", 1, _Map("TensorProto")),
        ("model_spec", 2, "ModelSpec"),
    ),
    "GetModelStatusRequest": (("model_spec", 1, "ModelSpec"),),
    "ModelVersionStatus": (
        ("version", 1, _FIELD.TYPE_INT64),
        ("state", 2, _FIELD.TYPE_INT32),
    ),
    "GetModelStatusResponse": (("model_version_status", 1, _Repeated("ModelVersionStatus")),),
    "GetModelMetadataRequest": (
        ("model_spec", 1, "ModelSpec"),
        ("metadata_field", 2, _STRINGS),
    ),
    "GetModelMetadataResponse": (("model_spec", 1, "ModelSpec"),),
}


def _pool() -> descriptor_pool.DescriptorPool:
    file = descriptor_pb2.FileDescriptorProto(
        name="tallygraph/serving_api.proto",
        package=_PACKAGE,
        syntax="proto3",
        dependency=[wrappers_pb2.DESCRIPTOR.name],
    )
    for message, fields in _MESSAGES.items():
        described = file.message_type.add(name=message)
        for name, number, kind in fields:
            _describe(described, name, number, kind)
    # A pool of its own: a process that has TensorFlow Serving's real ones can have both.
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(file)
    return pool


def _describe(
    message: descriptor_pb2.DescriptorProto, name: str, number: int, kind: _Kind
) -> None:
    """Add a field to a message's description."""
    field = message.field.add(name=name, number=number, label=_FIELD.LABEL_OPTIONAL)
    if isinstance(kind, tuple):
        field.label, field.type = _FIELD.LABEL_REPEATED, _FIELD.Type.ValueType(kind[1])
    elif isinstance(kind, int):
        field.type = _FIELD.Type.ValueType(kind)
    else:
        field.type = _FIELD.TYPE_MESSAGE
        field.type_name = kind if kind.startswith(".") else f".{_PACKAGE}.{kind}"
        if isinstance(kind, _Repeated):
            field.label = _FIELD.LABEL_REPEATED
    if isinstance(kind, _Map):
        # What protoc makes of `map<string, …>`: an entry's name is the field's, in camel case.
        entry = message.nested_type.add(name=f"{name.title().replace('_', '')}Entry")
        entry.options.map_entry = True
        _describe(entry, "key", 1, _FIELD.TYPE_STRING)
        _describe(entry, "value", 2, str(kind))
        field.label = _FIELD.LABEL_REPEATED
        field.type_name = f".{_PACKAGE}.{message.name}.{entry.name}"


def _message_class(name: str) -> Any:
    return message_factory.GetMessageClass(_POOL.FindMessageTypeByName(f"{_PACKAGE}.{name}"))


_POOL: Final = _pool()
TensorProto: Final = _message_class("TensorProto")
PredictRequest: Final = _message_class("PredictRequest")
PredictResponse: Final = _message_class("PredictResponse")
GetModelStatusRequest: Final = _message_class("GetModelStatusRequest")
GetModelStatusResponse: Final = _message_class("GetModelStatusResponse")
GetModelMetadataRequest: Final = _message_class("GetModelMetadataRequest")
GetModelMetadataResponse: Final = _message_class("GetModelMetadataResponse")
