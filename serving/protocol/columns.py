"""Converts columns of texts and integers to TensorFlow's ``TensorProto``, and back."""

from __future__ import annotations

import struct
from typing import Any, Final

from serving.protocol.errors import BadAnswerError
from serving.protocol.messages import DT_INT32, DT_INT64, DT_STRING

_PACKED: Final = {DT_INT32: "i", DT_INT64: "q"}


def write_column(tensor: Any, values: list[Any]) -> None:
    """Fill a ``TensorProto`` of shape ``[len(values)]``: texts as string, others as int32."""
    tensor.tensor_shape.dim.add(size=len(values))
    if values and isinstance(values[0], str | bytes):
        tensor.dtype = DT_STRING
        tensor.string_val.extend(
            [value if isinstance(value, bytes) else value.encode() for value in values]
        )
    else:
        tensor.dtype = DT_INT32
        tensor.int_val.extend(values)


def read_column(name: str, tensor: Any, rows: int) -> list[Any]:
    """Return the values of a tensor of shape ``[rows]``.

    Raises:
      BadAnswerError: it has another shape, a dtype other than string, int32 or int64, or is not
        text.
    """
    shape = [dim.size for dim in tensor.tensor_shape.dim]
    if tensor.tensor_shape.unknown_rank or shape != [rows]:
        raise BadAnswerError(f"{name} has shape {shape}. Expected: [{rows}].")
    if tensor.dtype == DT_STRING:
        try:
            return [each.decode() for each in _filled(name, list(tensor.string_val), rows, b"")]
        except UnicodeDecodeError as error:
            raise BadAnswerError(f"{name} is not text: {error}") from None
    packed = _PACKED.get(tensor.dtype)
    if packed is None:
        raise BadAnswerError(
            f"{name} has dtype {tensor.dtype}. Expected: string ({DT_STRING}), int32 "
            f"({DT_INT32}) or int64 ({DT_INT64})."
        )
    if tensor.tensor_content:
        layout = struct.Struct(f"<{rows}{packed}")
        if len(tensor.tensor_content) != layout.size:
            raise BadAnswerError(
                f"{name} has {len(tensor.tensor_content)} bytes. Expected: {layout.size}."
            )
        return list(layout.unpack(tensor.tensor_content))
    values = tensor.int_val if tensor.dtype == DT_INT32 else tensor.int64_val
    return _filled(name, list(values), rows, 0)


def _filled(name: str, values: list[Any], rows: int, nothing: Any) -> list[Any]:
    """TensorFlow leaves out what the last value repeats, and what is all zeros or empty."""
    if len(values) > rows:
        raise BadAnswerError(f"{name} has {len(values)} values. Expected: {rows}.")
    last = values[-1] if values else nothing
    return values + [last] * (rows - len(values))
