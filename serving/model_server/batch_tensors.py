"""Merges requests' arrays into a batch's, and splits a batch's into each request's."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from serving.model_server.errors import failed_precondition, invalid_argument

MAX_PADDED_RANK = 6


def batch_rows(inputs: Sequence[np.ndarray]) -> int:
    """Return the number of rows of a request: dimension 0 of every input.

    Raises:
      ServingError: there is no input, one has no dimension, or their numbers of rows differ.
    """
    if not inputs:
        raise invalid_argument("Batching Run() must have at least one input tensor")
    for array in inputs:
        if array.ndim == 0:
            raise invalid_argument(
                "Batching Run() input tensors must have at least one dimension"
            )
        if array.shape[0] != inputs[0].shape[0]:
            raise invalid_argument(
                "Batching Run() input tensors must have equal 0th-dimension size"
            )
    return int(inputs[0].shape[0])


def merge(
    name: str, arrays: Sequence[np.ndarray], padding_rows: int, pad_inner: bool
) -> np.ndarray:
    """Return one input of a batch.

    Args:
      name: the tensor's name, for messages.
      arrays: the input of each request, at least one row each.
      padding_rows: copies of a row of the batch to add at its end.
      pad_inner: whether to pad inner dimensions that differ, with an array's first value.

    Raises:
      ServingError: the arrays' inner dimensions differ and cannot be padded.
    """
    if pad_inner:
        parts = _padded(name, arrays)
    else:
        parts = list(arrays)
        if any(array.shape[1:] != parts[0].shape[1:] for array in parts):
            raise failed_precondition(
                f"Tensors with name '{name}' from different tasks have different shapes and "
                "padding is turned off. Set pad_variable_length_inputs to true, or ensure "
                "that all tensors with the same name have equal dimensions starting with "
                "the first dim."
            )
    if padding_rows:
        parts.append(np.repeat(parts[-1][:1], padding_rows, axis=0))
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def split(
    outputs: Sequence[np.ndarray], rows: Sequence[int], batch_size: int
) -> list[list[np.ndarray]]:
    """Return each request's part of every output, without the rows that were added as padding.

    Args:
      outputs: a batch's outputs.
      rows: of each request, in order.
      batch_size: the number of rows that were computed, including padding.

    Raises:
      ServingError: an output's dimension 0 does not equal the batch size.
    """
    for array in outputs:
        if array.ndim == 0:
            raise failed_precondition("Batched output tensor has 0 dimensions")
        if array.shape[0] != batch_size:
            raise failed_precondition(
                "Batched output tensor's 0th dimension does not equal the sum of the 0th "
                "dimension sizes of the input tensors"
            )
    parts = []
    start = 0
    for count in rows:
        parts.append([array[start : start + count] for array in outputs])
        start += count
    return parts


def _padded(name: str, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
    if any(array.ndim != arrays[0].ndim for array in arrays):
        raise invalid_argument(
            f"Tensors with name '{name}' from different tasks have different ranks."
        )
    if arrays[0].ndim > MAX_PADDED_RANK:
        raise invalid_argument("Only tensors with rank from 1 to 6 can be padded.")
    inner = tuple(np.max([array.shape[1:] for array in arrays], axis=0).astype(int))
    padded = []
    for array in arrays:
        if array.shape[1:] == inner:
            padded.append(array)
            continue
        if array.size == 0:
            raise invalid_argument("Got empty tensor in batch of non-empty tensors.")
        larger = np.full((array.shape[0], *inner), array.flat[0], dtype=array.dtype)
        larger[tuple(slice(size) for size in array.shape)] = array
        padded.append(larger)
    return padded
