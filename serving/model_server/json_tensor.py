"""Converts JSON values to one input's array: types, shapes, base64, with TensorFlow Serving's
messages."""

from __future__ import annotations

import base64
import binascii
from typing import Any

import numpy as np
import tensorflow as tf

from serving.model_server.errors import ServingError, invalid_argument
from serving.model_server.json_text import quoted
from serving.model_server.run_plan import type_name
from serving.model_server.tensors import check_dimensions
from serving.protocol.statuses import Code

_INT32_TYPES = (tf.int32, tf.int16, tf.int8, tf.uint8)
_RANGES = {
    **dict.fromkeys(_INT32_TYPES, (-(2**31), 2**31)),
    tf.int64: (-(2**63), 2**63),
    tf.uint32: (0, 2**32),
    tf.uint64: (0, 2**64),
}


def format_error(value: Any, message: str) -> ServingError:
    return invalid_argument(f"JSON Value: {quoted(value)} {message}")


def is_base64(value: Any) -> bool:
    return isinstance(value, dict) and len(value) == 1 and isinstance(value.get("b64"), str)


class JsonTensor:
    """The values of one input, in C order, and the shape that every row must have."""

    def __init__(self, dtype: tf.DType) -> None:
        self._dtype = dtype
        self._values: list[Any] = []
        self._shape: tuple[int, ...] | None = None
        self._size = 0

    def add(self, value: Any) -> JsonTensor:
        """Append a row's value, which may be nested lists.

        Raises:
          ServingError: it is ragged, or its shape differs from the rows before, or its type
            from the input's.
        """
        shape = _dense_shape(value)
        check_dimensions(len(shape))
        before = len(self._values)
        self._fill(value, 0, shape)
        size = len(self._values) - before
        if self._shape is None:
            self._shape, self._size = shape, size
        elif size != self._size:
            raise invalid_argument(f"Expecting tensor size: {self._size} but got: {size}")
        elif shape != self._shape:
            raise invalid_argument(
                f"Expecting shape {_shape_text(self._shape)} but got: {_shape_text(shape)}"
            )
        return self

    def array(self) -> np.ndarray:
        """Return the single row that was added."""
        return self._reshaped(self._shape or ())

    def batch(self, rows: int) -> np.ndarray:
        """Return all rows, stacked along a new first dimension."""
        return self._reshaped((rows, *(self._shape or ())))

    def _reshaped(self, shape: tuple[int, ...]) -> np.ndarray:
        check_dimensions(len(shape))
        flat: np.ndarray
        if self._dtype == tf.string:
            flat = np.empty(len(self._values), dtype=object)
            flat[:] = self._values
        elif self._dtype in _INT32_TYPES:
            # Cast as TF Serving does, which reads them as int32 first.
            flat = np.array(self._values, dtype=np.int32).astype(self._dtype.as_numpy_dtype)
        else:
            with np.errstate(over="ignore"):  # 1e39 is infinity as a float32
                flat = np.array(self._values, dtype=self._dtype.as_numpy_dtype)
        return flat.reshape(shape)

    def _fill(self, value: Any, level: int, shape: tuple[int, ...]) -> None:
        rank = len(shape)
        if not isinstance(value, list):
            if level != rank:
                raise format_error(
                    value,
                    f"found at incorrect level: {level + 1} in the JSON DOM. Expected at "
                    f"level: {rank}",
                )
            self._values.append(self._leaf(value))
            return
        if level >= rank:
            raise invalid_argument(
                f"Encountered list at unexpected level: {level} expected < {rank}"
            )
        if len(value) != shape[level]:
            raise invalid_argument(
                f"Encountered list at unexpected size: {len(value)} at level: {level} "
                f"expected size: {shape[level]}"
            )
        for element in value:
            self._fill(element, level + 1, shape)

    def _leaf(self, value: Any) -> Any:
        dtype = self._dtype
        if dtype == tf.string:
            if isinstance(value, str):
                return value.encode("utf-8", "surrogateescape")
            if isinstance(value, dict):
                return _decode_base64(value)
        elif dtype in (tf.float32, tf.float64):
            if isinstance(value, int | float) and not isinstance(value, bool):
                try:
                    return float(value)
                except OverflowError:
                    raise invalid_argument(
                        "JSON Parse error: Number too big to be stored in double."
                    ) from None
        elif dtype in _RANGES:
            low, high = _RANGES[dtype]
            if isinstance(value, int) and not isinstance(value, bool) and low <= value < high:
                return value
        elif dtype == tf.bool:
            if isinstance(value, bool):
                return value
        elif not isinstance(value, dict):
            raise ServingError(
                Code.UNIMPLEMENTED,
                f"Conversion of JSON Value: {quoted(value)} to type: "
                f"{type_name(dtype.as_datatype_enum)}",
            )
        raise invalid_argument(
            f"JSON Value: {quoted(value)} Type: {_json_type(value)} is not of expected type: "
            f"{type_name(dtype.as_datatype_enum)}"
        )


def _dense_shape(value: Any) -> tuple[int, ...]:
    shape = []
    while isinstance(value, list):
        shape.append(len(value))
        if not value:
            break
        value = value[0]
    return tuple(shape)


def _shape_text(shape: tuple[int, ...]) -> str:
    return f"[{','.join(map(str, shape))}]"


def _decode_base64(value: dict[str, Any]) -> bytes:
    if not is_base64(value):
        raise format_error(value, "not formatted correctly for base64 data")
    text = "".join(value["b64"].split())
    if not text.endswith("="):
        text += "=" * (-len(text) % 4)  # padding may be left out
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise invalid_argument("Unable to base64 decode") from None


def _json_type(value: Any) -> str:
    if value is None:
        return "Null"
    if isinstance(value, bool):
        return str(value)
    for kind, name in ((dict, "Object"), (list, "Array"), (str, "String")):
        if isinstance(value, kind):
            return name
    return "Number"
