"""Converts the body of a REST predict request to arrays, by TensorFlow Serving's rules.

Row format: ``{"instances": [...]}``, a list of values (one input) or of objects with every
input. Column format: ``{"inputs": ...}``, one value (one input) or an object. Bytes are
written ``{"b64": "..."}`` in both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import tensorflow as tf

from serving.model_server.errors import ServingError, invalid_argument
from serving.model_server.json_tensor import JsonTensor, format_error, is_base64
from serving.model_server.json_text import quoted

Format = Literal["row", "column"]


@dataclass(frozen=True)
class PredictBody:
    """A parsed request.

    Attributes:
      inputs: an array for each input alias.
      format: the format of the request, which the response follows.
    """

    inputs: dict[str, np.ndarray]
    format: Format


def signature_name(document: Mapping[str, Any]) -> str:
    """Return the signature that a request names; empty if it names none.

    Raises:
      ServingError: ``signature_name`` is not a string.
    """
    name = document.get("signature_name", "")
    if not isinstance(name, str):
        raise invalid_argument(
            f"JSON Value: {quoted(dict(document))} not formatted correctly. "
            "'signature_name' key must be a string value."
        )
    return name


def predict_body(document: dict[str, Any], signature_inputs: Mapping[str, Any]) -> PredictBody:
    """Turn a request's document into arrays.

    Args:
      document: the parsed body.
      signature_inputs: ``TensorInfo`` of each input alias.

    Raises:
      ServingError: the document does not fit the signature; with TensorFlow Serving's
        message.
    """
    dtypes = {alias: tf.dtypes.as_dtype(info.dtype) for alias, info in signature_inputs.items()}
    if not dtypes:
        raise invalid_argument(
            "Failed to get input map for signature: "
            f"{document.get('signature_name') or 'DEFAULT'}"
        )
    if "instances" in document and "inputs" in document:
        raise format_error(
            document,
            "Not formatted correctly expecting only one of 'inputs' or 'instances' keys to "
            "exist ",
        )
    if "instances" in document:
        instances = document["instances"]
        if not isinstance(instances, list):
            raise format_error(document, "Expecting 'instances' to be an list/array")
        if not instances:
            raise format_error(document, "No values in 'instances' array")
        return PredictBody(_rows(instances, dtypes), "row")
    if "inputs" in document:
        return PredictBody(_columns(document["inputs"], dtypes), "column")
    raise invalid_argument("Missing 'inputs' or 'instances' key")


def _is_named(value: Any) -> bool:
    return isinstance(value, dict) and not is_base64(value)


def _columns(value: Any, dtypes: Mapping[str, tf.DType]) -> dict[str, np.ndarray]:
    if not _is_named(value):
        if len(dtypes) > 1:
            raise invalid_argument(
                "inputs is a plain value/list, but expecting an object as multiple input "
                "tensors required as per tensorinfo_map"
            )
        alias, dtype = next(iter(dtypes.items()))
        return {alias: JsonTensor(dtype).add(value).array()}
    arrays = {}
    for alias, dtype in sorted(dtypes.items()):
        if alias not in value:
            raise invalid_argument(f"Missing named input: {alias} in 'inputs' object.")
        arrays[alias] = JsonTensor(dtype).add(value[alias]).array()
    return arrays


def _rows(instances: list[Any], dtypes: Mapping[str, tf.DType]) -> dict[str, np.ndarray]:
    if not isinstance(instances[0], dict) and len(dtypes) > 1:
        raise invalid_argument(
            "instances is a plain list, but expecting list of objects as multiple input "
            "tensors required as per tensorinfo_map"
        )
    tensors = {alias: JsonTensor(dtype) for alias, dtype in dtypes.items()}
    named = _is_named(instances[0])
    only = next(iter(tensors.values()))
    for index, element in enumerate(instances):
        if _is_named(element) != named:
            raise invalid_argument(
                f"Expecting object but got list at item {index} of input list"
                if named
                else f"Expecting value/list but got object at item {index} of input list"
            )
        if named:
            _add_named_row(index, element, tensors)
            continue
        try:
            only.add(element)
        except ServingError as error:
            raise invalid_argument(
                f"Failed to process element: {index} of 'instances' list. Error: {error}"
            ) from None
    return {alias: tensor.batch(len(instances)) for alias, tensor in tensors.items()}


def _add_named_row(index: int, element: dict[str, Any], tensors: dict[str, JsonTensor]) -> None:
    for alias, value in element.items():
        try:
            if alias not in tensors:
                raise invalid_argument(f"JSON object: does not have named input: {alias}")
            tensors[alias].add(value)
        except ServingError as error:
            raise invalid_argument(
                f"Failed to process element: {index} key: {alias} of 'instances' list. "
                f"Error: {error}"
            ) from None
    if len(element) != len(tensors):
        raise invalid_argument(
            f"Failed to process element: {index} of 'instances' list. JSON object: "
            f"{quoted(element)} keys must be equal to: {','.join(sorted(tensors))}"
        )
