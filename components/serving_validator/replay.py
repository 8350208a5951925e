"""Sends the same requests to a model server, over gRPC and REST, and to the model itself."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import httpx
import numpy as np
import tensorflow as tf
import tensorflow_text  # noqa: F401  registers the tokenizer's ops
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

Outputs = dict[str, np.ndarray]


class ReplayError(Exception):
    """The server refused a request, or its response cannot be read."""


class InProcessModel:
    """The model, called in this process: the reference that servers are compared with."""

    def __init__(self, path: Path) -> None:
        """
        Raises:
          Exception: whatever TensorFlow raises for a model that cannot be loaded.
        """
        self._model = tf.saved_model.load(str(path))

    def call(self, request: predict_pb2.PredictRequest) -> Outputs:
        function = self._model.signatures[request.model_spec.signature_name]
        inputs = {
            name: tf.constant(tf.make_ndarray(proto), dtype=tf.dtypes.as_dtype(proto.dtype))
            for name, proto in request.inputs.items()
        }
        return {name: value.numpy() for name, value in function(**inputs).items()}


class GrpcReplay:
    """Sends requests over gRPC."""

    protocol = "gRPC"

    def __init__(self, channel: grpc.Channel, model_name: str, timeout_s: float) -> None:
        self._stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        self._model_name = model_name
        self._timeout_s = timeout_s

    def call(self, request: predict_pb2.PredictRequest) -> Outputs:
        """
        Raises:
          ReplayError: the server refused the request or cannot be reached.
        """
        own = predict_pb2.PredictRequest()
        own.CopyFrom(request)
        own.model_spec.name = self._model_name
        own.model_spec.ClearField("version_choice")
        try:
            response = self._stub.Predict(own, timeout=self._timeout_s)
        except grpc.RpcError as error:
            raise ReplayError(f"{error.code().name}: {error.details()}") from None
        return {name: tf.make_ndarray(proto) for name, proto in response.outputs.items()}


class RestReplay:
    """Sends the same requests over REST, in column format."""

    protocol = "REST"

    def __init__(self, client: httpx.Client, model_name: str) -> None:
        self._client = client
        self._path = f"/v1/models/{model_name}:predict"

    def call(self, request: predict_pb2.PredictRequest) -> Outputs:
        """
        Raises:
          ReplayError: the server refused the request, cannot be reached, or did not return
              JSON.
        """
        body = {
            "signature_name": request.model_spec.signature_name,
            "inputs": {
                name: _json_values(tf.make_ndarray(proto))
                for name, proto in request.inputs.items()
            },
        }
        try:
            answer = self._client.post(self._path, content=json.dumps(body))
            document = json.loads(answer.content.decode("utf-8"))
        except (httpx.HTTPError, ValueError) as error:
            raise ReplayError(f"{type(error).__name__}: {error}") from None
        if answer.status_code != 200:
            raise ReplayError(f"HTTP {answer.status_code}: {document.get('error', document)}")
        outputs = document.get("outputs")
        if not isinstance(outputs, dict):
            raise ReplayError(f"no named outputs. Received: {str(document)[:200]}")
        return {name: _array(values) for name, values in outputs.items()}


Caller = Callable[[predict_pb2.PredictRequest], Outputs]


def _json_values(array: np.ndarray) -> Any:
    if array.dtype != object:
        return array.tolist()
    return np.vectorize(_json_text, otypes=[object])(array).tolist() if array.size else []


def _json_text(item: bytes) -> Any:
    try:
        return item.decode("utf-8")
    except UnicodeDecodeError:
        return {"b64": base64.b64encode(item).decode("ascii")}


def _array(values: Any) -> np.ndarray:
    """JSON values as an array; texts as ``bytes``, as TensorFlow gives them."""
    flat = values
    while isinstance(flat, list) and flat and isinstance(flat[0], list):
        flat = flat[0]
    if isinstance(flat, list) and flat and isinstance(flat[0], str | dict):
        texts: np.ndarray = np.vectorize(_bytes, otypes=[object])(
            np.array(values, dtype=object)
        )
        return texts
    return np.array(values)


def _bytes(item: Any) -> bytes:
    return base64.b64decode(item["b64"]) if isinstance(item, dict) else item.encode()
