"""Converts ``TensorProto`` to array and back, with a limit on the unpacked size."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2

from serving.model_server.errors import ServingError, invalid_argument

# An array of more is the end of the process, in TensorFlow's C++ code for Python. TensorFlow
# Serving, which has none, takes up to 254.
MAX_DIMENSIONS = 32


def check_dimensions(dimensions: int) -> None:
    """Refuse an input that would have more dimensions than can be fed.

    Raises:
      ServingError: it would.
    """
    if dimensions > MAX_DIMENSIONS:
        raise invalid_argument(
            f"tensor parsing error: an input has {dimensions} dimensions. Expected: at most "
            f"{MAX_DIMENSIONS}"
        )


def array_from_proto(alias: str, proto: Any, max_bytes: int) -> np.ndarray:
    """Unpack an input; strings become an object array of ``bytes``.

    A proto may give one value for a whole shape, so its size says nothing about the array's.

    Raises:
      ServingError: the proto contradicts itself, or unpacks to more than ``max_bytes``.
    """
    try:
        dtype = tf.dtypes.as_dtype(proto.dtype)
        elements = math.prod(dim.size for dim in proto.tensor_shape.dim)
        if proto.tensor_shape.unknown_rank or any(d.size < 0 for d in proto.tensor_shape.dim):
            raise _parsing_error(alias, "its shape is not fully known")
        check_dimensions(len(proto.tensor_shape.dim))
        size = elements * (8 if dtype == tf.string else dtype.size)
        if size > max_bytes:
            raise _parsing_error(
                alias, f"it unpacks to {size} bytes, and the limit is {max_bytes}"
            )
        array: np.ndarray = tf.make_ndarray(proto)
        return array
    except (TypeError, ValueError, KeyError) as error:
        raise _parsing_error(alias, str(error)) from None


def _parsing_error(alias: str, reason: str) -> ServingError:
    return invalid_argument(f"tensor parsing error: {alias}: {reason}")


def array_to_proto(array: np.ndarray, as_content: bool) -> Any:
    """Pack an output.

    Args:
      array: any array that TensorFlow returned.
      as_content: numbers as ``tensor_content`` bytes (smaller and faster) instead of the
        typed fields that clients without TensorFlow read.
    """
    if as_content and array.dtype != object:
        return tf.make_tensor_proto(array)
    dtype = tf.dtypes.as_dtype(array.dtype)
    proto = tensor_pb2.TensorProto(dtype=dtype.as_datatype_enum)
    for size in array.shape:
        proto.tensor_shape.dim.add(size=size)
    fill = _FIELDS.get(dtype)
    if fill is None:
        return tf.make_tensor_proto(array)
    getattr(proto, fill).extend(array.ravel().tolist())
    return proto


_FIELDS = {
    tf.string: "string_val",
    tf.float32: "float_val",
    tf.float64: "double_val",
    tf.int32: "int_val",
    tf.int16: "int_val",
    tf.int8: "int_val",
    tf.uint8: "int_val",
    tf.uint16: "int_val",
    tf.int64: "int64_val",
    tf.uint32: "uint32_val",
    tf.uint64: "uint64_val",
    tf.bool: "bool_val",
}
