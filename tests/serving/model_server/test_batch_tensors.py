"""Arrays put together and taken apart again, with TensorFlow Serving's complaints."""

from __future__ import annotations

import numpy as np
import pytest

from serving.model_server.batch_tensors import batch_rows, merge, split
from serving.model_server.errors import ServingError
from serving.protocol.statuses import Code


def texts(*values: bytes) -> np.ndarray:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def test_rows_are_dimension_0_of_every_input() -> None:
    assert batch_rows([np.zeros([3]), np.zeros([3, 2])]) == 3
    assert batch_rows([np.zeros([0, 5])]) == 0


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ([], "Batching Run() must have at least one input tensor"),
        ([np.zeros([])], "Batching Run() input tensors must have at least one dimension"),
        (
            [np.zeros([2]), np.zeros([3])],
            "Batching Run() input tensors must have equal 0th-dimension size",
        ),
    ],
)
def test_inputs_that_are_no_batch(inputs: list[np.ndarray], message: str) -> None:
    with pytest.raises(ServingError) as refused:
        batch_rows(inputs)
    assert (refused.value.code, refused.value.message) == (Code.INVALID_ARGUMENT, message)


def test_merged_in_order_and_padded_with_a_row_of_the_batch() -> None:
    merged = merge("t:0", [texts(b"a", b"b"), texts(b"c", b"d")], 2, False)
    assert merged.tolist() == [b"a", b"b", b"c", b"d", b"c", b"c"]


def test_inner_dimensions_that_differ() -> None:
    arrays = [np.ones([1, 2], np.int32), np.full([1, 3], 2, np.int32)]
    with pytest.raises(ServingError) as refused:
        merge("t:0", arrays, 0, False)
    assert refused.value.code is Code.FAILED_PRECONDITION
    assert refused.value.message == (
        "Tensors with name 't:0' from different tasks have different shapes and padding is "
        "turned off. Set pad_variable_length_inputs to true, or ensure that all tensors with "
        "the same name have equal dimensions starting with the first dim."
    )
    merged = merge("t:0", arrays, 1, True)
    assert merged.tolist() == [[1, 1, 1], [2, 2, 2], [2, 2, 2]]
    assert merged.dtype == np.int32


def test_texts_are_padded_with_their_own_first_value() -> None:
    merged = merge("t:0", [texts(b"a", b"b").reshape(1, 2), texts(b"c").reshape(1, 1)], 0, True)
    assert merged.tolist() == [[b"a", b"b"], [b"c", b"c"]]


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ([[1, 0], [1, 2]], "Got empty tensor in batch of non-empty tensors."),
        ([[1] * 7, [1] * 7], "Only tensors with rank from 1 to 6 can be padded."),
        ([[1], [1, 2]], "Tensors with name 't:0' from different tasks have different ranks."),
    ],
)
def test_what_cannot_be_padded(shapes: list[list[int]], message: str) -> None:
    with pytest.raises(ServingError) as refused:
        merge("t:0", [np.zeros(shape) for shape in shapes], 0, True)
    assert (refused.value.code, refused.value.message) == (Code.INVALID_ARGUMENT, message)


def test_every_request_gets_its_own_rows_and_the_padding_is_dropped() -> None:
    outputs = [np.arange(6), np.arange(12).reshape(6, 2)]
    parts = split(outputs, [1, 3], 6)
    assert [[array.tolist() for array in part] for part in parts] == [
        [[0], [[0, 1]]],
        [[1, 2, 3], [[2, 3], [4, 5], [6, 7]]],
    ]


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (np.zeros([]), "Batched output tensor has 0 dimensions"),
        (
            np.zeros([1]),
            "Batched output tensor's 0th dimension does not equal the sum of the 0th "
            "dimension sizes of the input tensors",
        ),
    ],
)
def test_outputs_that_are_no_batch(output: np.ndarray, message: str) -> None:
    with pytest.raises(ServingError) as refused:
        split([output], [1, 1], 2)
    assert (refused.value.code, refused.value.message) == (Code.FAILED_PRECONDITION, message)
