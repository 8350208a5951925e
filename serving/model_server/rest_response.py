"""Converts arrays to the body of a REST predict response, by TensorFlow Serving's rules.

Strings are written as raw text; only an output whose name ends in ``_bytes`` is base64. So an
output that is not UTF-8 and has no such name makes the body invalid JSON, as in TensorFlow
Serving.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson

from serving.model_server.errors import invalid_argument
from serving.model_server.json_text import json_string
from serving.model_server.rest_request import Format


def predict_answer(outputs: Mapping[str, np.ndarray], layout: Format) -> bytes:
    """Return the JSON text of a response.

    Args:
      outputs: an array for each output alias. With one output only its values are written,
        without its name.
      layout: ``row`` for ``{"predictions": [...]}``, ``column`` for ``{"outputs": ...}``.

    Raises:
      ServingError: row format and the outputs do not share a first dimension.
    """
    if not outputs:
        raise invalid_argument("Cannot convert empty tensor map to JSON")
    if layout == "row":
        _check_batch(outputs)
    values = {alias: _values(alias, array) for alias, array in outputs.items()}
    if layout == "column":
        return orjson.dumps({"outputs": values if len(values) > 1 else _only(values)})
    if len(values) == 1:
        return orjson.dumps({"predictions": _only(values)})
    rows = [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)]
    return orjson.dumps({"predictions": rows})


def _only(values: dict[str, Any]) -> Any:
    return next(iter(values.values()))


def _check_batch(outputs: Mapping[str, np.ndarray]) -> None:
    batch_size = -1
    for alias, array in outputs.items():
        if array.ndim == 0:
            raise invalid_argument(f"Tensor name: {alias} has no shape information ")
        if batch_size not in (-1, array.shape[0]):
            raise invalid_argument(
                f"Tensor name: {alias} has inconsistent batch size: {array.shape[0]} "
                f"expecting: {batch_size}"
            )
        batch_size = array.shape[0]


def _values(alias: str, array: np.ndarray) -> Any:
    """An array as nested lists of what orjson can write."""
    if array.dtype.kind in "iub":
        return array.tolist()
    flat: list[Any]
    if array.dtype == object:
        flat = [
            _bytes_value(item) if alias.endswith("_bytes") else _text_value(item)
            for item in array.ravel()
        ]
    elif array.dtype in (np.float32, np.float64):
        flat = [_float_value(item, array.dtype) for item in array.ravel()]
    else:
        raise invalid_argument(f"Failed to write JSON value for tensor type: {array.dtype}")
    shaped = np.empty(len(flat), dtype=object)
    shaped[:] = flat
    return shaped.reshape(array.shape).tolist()


def _bytes_value(item: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(item).decode("ascii")}


def _text_value(item: bytes) -> Any:
    try:
        return item.decode()
    except UnicodeDecodeError:
        return orjson.Fragment(json_string(item))


def _float_value(item: Any, dtype: np.dtype) -> orjson.Fragment:
    """A number with as many digits as TensorFlow Serving writes: 6 if exact, else all."""
    value = float(item)
    if math.isnan(value):
        return orjson.Fragment(b"NaN")
    if math.isinf(value):
        return orjson.Fragment(b"Infinity" if value > 0 else b"-Infinity")
    text = f"{value:.6g}"
    if dtype.type(text) != item:
        text = f"{value:.{9 if dtype == np.float32 else 17}g}"
    if "." not in text and "e" not in text:
        text += ".0"
    return orjson.Fragment(text)
