"""Reads a server's ``PredictionLog`` records, without TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from google.protobuf.message import DecodeError

from serving.billing.reconciliation.records import Work
from serving.ledger.work import work_hash
from serving.protocol.columns import read_column
from serving.protocol.errors import BadAnswerError
from serving.protocol.messages import PredictionLog
from tokenizer import contract

_MAX_ROWS: Final = 1_000_000


class RecordError(ValueError):
    """The record cannot be compared; the message says why."""


@dataclass(frozen=True, slots=True)
class LogRecord:
    """The content of one record.

    Attributes:
      at: seconds since 1970.
      sampling_rate: the share of requests that were logged.
      work: what was computed; None if it is not billed: counting tokens, and calls other than
        predict.
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
      RecordError: it is not a ``PredictionLog``, or not one of a metered model.
    """
    log = PredictionLog()
    try:
        log.ParseFromString(record)
    except DecodeError as error:
        raise RecordError(f"is not a PredictionLog: {error}") from None
    if not log.HasField("log_metadata"):
        raise RecordError("is not a PredictionLog: it lacks its metadata")
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
    request, response = predict.request.inputs, predict.response.outputs
    texts = _column(request, contract.INPUT_TEXT)
    limits = (
        _column(request, contract.INPUT_MAX_OUTPUT_TOKENS, len(texts))
        if contract.INPUT_MAX_OUTPUT_TOKENS in request
        else [0] * len(texts)
    )
    read, written, reasons = (
        _column(response, name, len(texts))
        for name in (contract.INPUT_TOKENS, contract.OUTPUT_TOKENS, contract.FINISH_REASON)
    )
    spec = predict.response.model_spec
    version = spec.version.value or metadata.model_spec.version.value
    return Work(
        model=spec.name or metadata.model_spec.name,
        model_version=str(version),
        work_hash=work_hash(texts, limits),
        at=float(metadata.timestamp_secs),
        input_tokens=sum(read),
        output_tokens=sum(written),
        finish_reasons=",".join(sorted(set(reasons))),
        where=where,
    )


def _column(tensors: Mapping[str, Any], name: str, rows: int | None = None) -> list[Any]:
    """The values of a vector.

    Args:
      rows: how many there must be; None for as many as its shape says, at least one.

    Raises:
      RecordError: it is missing, of another shape, or not of a type that the contract has.
    """
    if name not in tensors:
        raise RecordError(f"lacks {name}: it is not a complete response of a metered model")
    tensor = tensors[name]
    if rows is None:
        rows = tensor.tensor_shape.dim[0].size if tensor.tensor_shape.dim else 0
    if not 0 < rows <= _MAX_ROWS:
        raise RecordError(f"has {name} with {rows} rows. Expected: 1 to {_MAX_ROWS}")
    try:
        return read_column(name, tensor, rows)
    except BadAnswerError as error:
        raise RecordError(f"cannot be read: {error}") from None
