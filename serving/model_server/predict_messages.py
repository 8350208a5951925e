"""Predict requests and responses as messages, independent of the protocol."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from tensorflow_serving.apis import predict_pb2

from serving.model_server.model_version import ModelSpec
from serving.model_server.tensors import array_to_proto


def predict_request(
    spec: ModelSpec, signature_name: str, inputs: Mapping[str, np.ndarray]
) -> predict_pb2.PredictRequest:
    """Return the message equivalent to a REST request; ``signature_name`` as it was given."""
    request = predict_pb2.PredictRequest()
    _fill(request.model_spec, spec, signature_name)
    for alias, array in inputs.items():
        request.inputs[alias].CopyFrom(array_to_proto(array, as_content=False))
    return request


def predict_response(
    spec: ModelSpec, signature_name: str, outputs: Mapping[str, np.ndarray], as_content: bool
) -> predict_pb2.PredictResponse:
    """Return the message of a response.

    Args:
      spec: the model and the version that computed it.
      as_content: see ``array_to_proto``.
    """
    response = predict_pb2.PredictResponse()
    _fill(response.model_spec, spec, signature_name)
    for alias, array in outputs.items():
        response.outputs[alias].CopyFrom(array_to_proto(array, as_content))
    return response


def _fill(message: Any, spec: ModelSpec, signature_name: str) -> None:
    message.name = spec.name
    message.signature_name = signature_name
    if spec.version is not None:
        message.version.value = spec.version
    elif spec.label is not None:
        message.version_label = spec.label
