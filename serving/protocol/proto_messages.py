"""Protobuf messages from tables, for those of TensorFlow Serving's that no package without
TensorFlow has.

A table gives the fields of each message: name, number, and kind. A kind is a type of
``FieldDescriptorProto``, the name of another message, or one of these in `Repeated` or `Map`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, wrappers_pb2

FIELD: Final = descriptor_pb2.FieldDescriptorProto
INT64_VALUE: Final = ".google.protobuf.Int64Value"
STRING_VALUE: Final = ".google.protobuf.StringValue"


@dataclass(frozen=True, slots=True)
class Repeated:
    """Any number of values."""

    kind: int | str


@dataclass(frozen=True, slots=True)
class Map:
    """Values by string."""

    kind: int | str


Kind = int | str | Repeated | Map
Messages = Mapping[str, Sequence[tuple[str, int, Kind]]]


def message_classes(file: str, package: str, messages: Messages) -> Callable[[str], Any]:
    """What gives the class of each message by its name.

    Args:
      file: name of the ``.proto`` file that stands for the table.
    """
    described = descriptor_pb2.FileDescriptorProto(
        name=file, package=package, syntax="proto3", dependency=[wrappers_pb2.DESCRIPTOR.name]
    )
    for message, fields in messages.items():
        target = described.message_type.add(name=message)
        for name, number, kind in fields:
            _add_field(target, package, name, number, kind)
    # A pool of its own: a process that has TensorFlow Serving's real ones can have both.
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(described)
    return lambda name: message_factory.GetMessageClass(
        pool.FindMessageTypeByName(f"{package}.{name}")
    )


def _add_field(
    message: descriptor_pb2.DescriptorProto, package: str, name: str, number: int, kind: Kind
) -> None:
    field = message.field.add(name=name, number=number, label=FIELD.LABEL_OPTIONAL)
    if isinstance(kind, Map):
        # What protoc makes of `map<string, …>`: an entry's name is the field's, in camel case.
        entry = message.nested_type.add(name=f"{name.title().replace('_', '')}Entry")
        entry.options.map_entry = True
        _add_field(entry, package, "key", 1, FIELD.TYPE_STRING)
        _add_field(entry, package, "value", 2, kind.kind)
        kind = Repeated(f"{message.name}.{entry.name}")
    if isinstance(kind, Repeated):
        field.label, kind = FIELD.LABEL_REPEATED, kind.kind
    if isinstance(kind, int):
        field.type = FIELD.Type.ValueType(kind)
    else:
        field.type = FIELD.TYPE_MESSAGE
        field.type_name = kind if kind.startswith(".") else f".{package}.{kind}"
