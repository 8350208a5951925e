"""A worker's report of a turn, the same for every way to call."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.serve.closed_loop import Load, Span, steady


def report(
    spans: Sequence[Span], load: Load, processor_s: float, answer: Mapping[str, Any]
) -> dict[str, Any]:
    """A turn as JSON.

    Args:
      spans: of all its calls.
      processor_s: processor time that the worker's process took for them.
      answer: to the first call, by which ways to ask are compared.
    """
    rate, seconds = steady(spans, load.clients)
    return {
        "rate": rate,
        "seconds": seconds,
        "processor": processor_s / len(spans),
        "answer": plain(answer),
    }


def plain(outputs: Mapping[str, Any]) -> dict[str, Any]:
    """Outputs as JSON: arrays as lists, texts and bytes as base64, numbers as float32."""
    return {name: _value(values) for name, values in sorted(outputs.items())}


def _value(value: Any) -> Any:
    match value:
        case np.ndarray():
            return _value(value.tolist())
        case list():
            return [_value(each) for each in value]
        case {"b64": content}:
            return content
        case str():
            return _value(value.encode())
        case bytes():
            return base64.b64encode(value).decode("ascii")
        case bool() | int():
            return value
        case float():
            return float(np.float32(value))
    raise TypeError(f"not an output: {value!r:.100}")
