"""Reads a server's ``PredictionLog`` records, without TensorFlow.

Of the messages only the fields that are needed, under the numbers and types of
``tensorflow_serving/apis/prediction_log.proto``, ``logging.proto``, ``predict.proto``,
``model.proto`` and TensorFlow's ``tensor.proto``.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from serving.billing.reconciliation.records import Work
from serving.ledger.work import work_hash
from tokenizer import contract

_FIELD: Final = descriptor_pb2.FieldDescriptorProto
_PACKAGE: Final = "tallygraph.log"
_MESSAGES: Final[dict[str, tuple[tuple[str, int, int | str], ...]]] = {
    "Dim": (("size", 1, _FIELD.TYPE_INT64),),
    "Shape": (("dim", 2, "Dim"),),
    "Tensor": (
        ("dtype", 1, _FIELD.TYPE_INT32),  # an enum, which is written as an int32
        ("tensor_shape", 2, "Shape"),
        ("tensor_content", 4, _FIELD.TYPE_BYTES),
        ("int_val", 7, _FIELD.TYPE_INT32),
        ("string_val", 8, _FIELD.TYPE_BYTES),
        ("int64_val", 10, _FIELD.TYPE_INT64),
    ),
    "Version": (("value", 1, _FIELD.TYPE_INT64),),
    "ModelSpec": (
        ("name", 1, _FIELD.TYPE_STRING),
        ("version", 2, "Version"),
        ("signature_name", 3, _FIELD.TYPE_STRING),
    ),
    # A map is written as a list of such entries.
    "NamedTensor": (("key", 1, _FIELD.TYPE_STRING), ("value", 2, "Tensor")),
    "Request": (("model_spec", 1, "ModelSpec"), ("inputs", 2, "NamedTensor")),
    "Response": (("outputs", 1, "NamedTensor"), ("model_spec", 2, "ModelSpec")),
    "PredictLog": (("request", 1, "Request"), ("response", 2, "Response")),
    "Sampling": (("sampling_rate", 1, _FIELD.TYPE_DOUBLE),),
    "Metadata": (
        ("model_spec", 1, "ModelSpec"),
        ("sampling_config", 2, "Sampling"),
        ("timestamp_secs", 4, _FIELD.TYPE_INT64),
    ),
    "PredictionLog": (("log_metadata", 1, "Metadata"), ("predict_log", 6, "PredictLog")),
}
_REPEATED: Final = {"dim", "inputs", "outputs", "int_val", "string_val", "int64_val"}
_INT32, _STRING, _INT64 = 3, 7, 9  # of tensorflow/core/framework/types.proto
_MAX_ROWS: Final = 1_000_000


class RecordError(ValueError):
    """A record that cannot be compared; the message says why."""


def _message_class() -> Any:
    file = descriptor_pb2.FileDescriptorProto(
        name="tallygraph/prediction_log.proto", package=_PACKAGE, syntax="proto3"
    )
    for message, fields in _MESSAGES.items():
        described = file.message_type.add(name=message)
        for name, number, kind in fields:
            described.field.add(
                name=name,
                number=number,
                type=_FIELD.TYPE_MESSAGE if isinstance(kind, str) else kind,
                type_name=f".{_PACKAGE}.{kind}" if isinstance(kind, str) else None,
                label=_FIELD.LABEL_REPEATED if name in _REPEATED else _FIELD.LABEL_OPTIONAL,
            )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(
        pool.FindMessageTypeByName(f"{_PACKAGE}.PredictionLog")
    )


_PredictionLog: Final = _message_class()


@dataclass(frozen=True, slots=True)
class LogRecord:
    """What one record says.

    Attributes:
      at: seconds since 1970.
      sampling_rate: the share of requests that were logged.
      work: what was computed; None where it was none that is billed: counting tokens, and other
        calls than predict.
    """

    model: str
    at: float
    sampling_rate: float
    work: Work | None


def read_record(record: bytes, where: str) -> LogRecord:
    """
    Args:
      where: the record's file and number.

    Raises:
      RecordError: it is no ``PredictionLog``, or not one of a metered model.
    """
    log = _PredictionLog()
    try:
        log.ParseFromString(record)
    except DecodeError as error:
        raise RecordError(f"is no PredictionLog: {error}") from None
    if not log.HasField("log_metadata"):
        raise RecordError("is no PredictionLog: it lacks its metadata")
    metadata, predict = log.log_metadata, log.predict_log
    sampled = metadata.HasField("sampling_config")
    signature = predict.request.model_spec.signature_name
    billed = log.HasField("predict_log") and signature != contract.SIGNATURE_COUNT_TOKENS
    return LogRecord(
        model=predict.response.model_spec.name or metadata.model_spec.name,
        at=float(metadata.timestamp_secs),
        sampling_rate=metadata.sampling_config.sampling_rate if sampled else 1.0,
        work=_work(metadata, predict, where) if billed else None,
    )


def _work(metadata: Any, predict: Any, where: str) -> Work:
    inputs = {each.key: each.value for each in predict.request.inputs}
    outputs = {each.key: each.value for each in predict.response.outputs}
    texts = [_decoded(text) for text in _values(inputs, contract.INPUT_TEXT)]
    limits = (
        [int(limit) for limit in _values(inputs, contract.INPUT_MAX_OUTPUT_TOKENS)]
        if contract.INPUT_MAX_OUTPUT_TOKENS in inputs
        else [0] * len(texts)
    )
    counts = {
        name: [int(count) for count in _values(outputs, name)]
        for name in (contract.INPUT_TOKENS, contract.OUTPUT_TOKENS)
    }
    reasons = [_decoded(reason) for reason in _values(outputs, contract.FINISH_REASON)]
    rows = {len(limits), len(reasons), *(len(column) for column in counts.values())}
    if not texts or rows != {len(texts)}:
        raise RecordError(f"has {len(texts)} texts and other numbers of counts: {sorted(rows)}")
    spec = predict.response.model_spec
    version = spec.version.value or metadata.model_spec.version.value
    return Work(
        model=spec.name or metadata.model_spec.name,
        model_version=str(version),
        work_hash=work_hash(texts, limits),
        at=float(metadata.timestamp_secs),
        input_tokens=sum(counts[contract.INPUT_TOKENS]),
        output_tokens=sum(counts[contract.OUTPUT_TOKENS]),
        finish_reasons=",".join(sorted(set(reasons))),
        where=where,
    )


def _values(tensors: Mapping[str, Any], name: str) -> list[Any]:
    """The values of a vector, as TensorFlow may write them.

    Raises:
      RecordError: it is missing, or not of a type that the contract has.
    """
    if name not in tensors:
        raise RecordError(f"lacks {name}: it is not an answer of a metered model's, in full")
    tensor = tensors[name]
    if tensor.dtype not in (_INT32, _STRING, _INT64):
        raise RecordError(f"has {name} of the type {tensor.dtype}. Expected: text or integers")
    if tensor.tensor_content and tensor.dtype != _STRING:
        size, code = (4, "i") if tensor.dtype == _INT32 else (8, "q")
        count, rest = divmod(len(tensor.tensor_content), size)
        if rest:
            raise RecordError(f"has {name} cut off in the middle of a number")
        return list(struct.unpack(f"<{count}{code}", tensor.tensor_content))
    values = list(
        {_INT32: tensor.int_val, _STRING: tensor.string_val, _INT64: tensor.int64_val}[
            tensor.dtype
        ]
    )
    # A constant may be written as its one value (TensorFlow's own tools compress so).
    size = 1
    for dim in tensor.tensor_shape.dim:
        size *= dim.size
    if 0 < len(values) < size <= _MAX_ROWS:
        values += [values[-1]] * (size - len(values))
    return values


def _decoded(text: bytes) -> str:
    try:
        return text.decode()
    except UnicodeDecodeError:
        raise RecordError("has a text that is not UTF-8; the gateway sends no such") from None
