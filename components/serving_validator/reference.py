"""What the model itself answers to its warm-up requests, and where a server differs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tensorflow as tf
import tensorflow_text  # noqa: F401  registers the tokenizer's ops
from tensorflow_serving.apis import predict_pb2

from serving.protocol.exchange import Columns


class InProcessModel:
    """The model, called in this process: the reference that servers are compared with."""

    def __init__(self, path: Path) -> None:
        """
        Raises:
          Exception: whatever TensorFlow raises for a model that cannot be loaded.
        """
        self._model = tf.saved_model.load(str(path))

    def call(self, signature: str, inputs: Columns) -> Columns:
        """
        Raises:
          Exception: whatever the model's own code raises.
        """
        function = self._model.signatures[signature]
        specs = function.structured_input_signature[1]
        tensors = {
            name: tf.constant(values, specs[name].dtype) for name, values in inputs.items()
        }
        # Bytes that are no text become one that no server can send.
        return {
            name: [_text(value, "backslashreplace") for value in column.numpy().tolist()]
            for name, column in function(**tensors).items()
        }


def columns_of(request: predict_pb2.PredictRequest) -> Columns:
    """A request's inputs: texts, as clients send them, or integers."""
    return {
        name: [_text(value) for value in tf.make_ndarray(proto).tolist()]
        for name, proto in request.inputs.items()
    }


def differences(
    expected: Columns, received: Columns
) -> list[tuple[str, int | None, object, object]]:
    """Return where two outputs differ: output, row, expected, received."""
    found: list[tuple[str, int | None, object, object]] = []
    for name in sorted({*expected, *received}):
        if name not in received:
            found.append((name, None, "present", "missing"))
        elif name not in expected:
            found.append((name, None, "missing", "present"))
        elif len(expected[name]) != len(received[name]):
            rows = f"{len(expected[name])} rows", f"{len(received[name])} rows"
            found.append((name, None, *rows))
        else:
            pairs = enumerate(zip(expected[name], received[name], strict=True))
            found += [(name, row, one, other) for row, (one, other) in pairs if one != other]
    return found


def _text(value: Any, errors: str = "strict") -> Any:
    if not isinstance(value, bytes):
        return value
    try:
        return value.decode(errors=errors)
    except UnicodeDecodeError:
        return value
