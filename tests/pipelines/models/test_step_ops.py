"""The ops of a decode step that are written for speed give what the plain ones give."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from pipelines.models.attention import dense, transposed
from pipelines.models.greedy_search import two_best
from pipelines.models.kernels import (
    FloatKernel,
    FloatTable,
    Int8Kernel,
    Int8Table,
    Table,
    quantised,
)


@pytest.mark.parametrize("size", [2, 3, 7, 64, 101, 1117 * 3, 32128])
def test_two_best_are_those_of_top_k(size: int) -> None:
    scores = np.random.default_rng(size).normal(size=[5, size]).astype(np.float32)
    # The two best side by side, so in one block; at both ends; and equal.
    scores[0, size // 2 - 1 : size // 2 + 1] = 9, 10
    scores[1, [0, -1]] = 10, 9
    scores[2, [0, -1]] = 7
    first, second, best = two_best(tf.constant(scores))
    values, ids = tf.math.top_k(scores, k=2)
    np.testing.assert_array_equal(first, values[:, 0])
    np.testing.assert_array_equal(second, values[:, 1])
    np.testing.assert_array_equal(best, ids[:, 0])


def test_two_best_of_no_rows() -> None:
    first, second, best = two_best(tf.zeros([0, 12]))
    assert first.shape == second.shape == best.shape == [0]


@pytest.mark.parametrize("shape", [(6, 4), (400, 400), (512, 1024), (513, 1024)])
def test_one_row_times_a_kernel_of_any_size(shape: tuple[int, int]) -> None:
    random = np.random.default_rng(1)
    x = random.normal(size=[1, shape[0]]).astype(np.float32)
    kernel = random.normal(size=shape).astype(np.float32)
    expected = x.astype(np.float64) @ kernel
    np.testing.assert_allclose(dense(tf.constant(x), tf.constant(kernel)), expected, atol=2e-4)


def test_bits_that_are_moved_as_integers_stay_what_they_are() -> None:
    x = np.random.default_rng(4).normal(size=[2, 3, 4]).astype(np.float32)
    x[0, 0] = np.nan, -0.0, np.inf, 1e-45
    moved = transposed(tf.constant(x), [2, 0, 1]).numpy()
    np.testing.assert_array_equal(moved.view(np.int32), x.transpose(2, 0, 1).view(np.int32))


def some(*shape: int, seed: int = 2) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("bias", [None, some(6)], ids=["plain", "bias"])
def test_a_kernels_other_layout_gives_the_same_product(bias: np.ndarray | None) -> None:
    kernel = FloatKernel(some(8, 6), bias)
    x = tf.constant(some(3, 8, seed=3))
    expected = kernel(x)
    assert expected.shape == [3, 6]
    np.testing.assert_array_equal(kernel(x, of_one_row=True), expected)
    kernel.turn()
    assert kernel.turned is not None
    assert kernel.turned.shape == [6, 8]
    np.testing.assert_allclose(kernel(x, of_one_row=True), expected, atol=1e-5)


@pytest.mark.parametrize("bias", [None, some(6)], ids=["plain", "bias"])
def test_an_int8_product_is_that_of_the_quantised_row_and_kernel(
    bias: np.ndarray | None,
) -> None:
    matrix, x = some(64, 6), some(2, 5, 64, seed=3)
    x[0, 1] = 0.0
    x[1, 2] *= 1e4
    kernel = Int8Kernel.of(matrix, bias)
    product = kernel(tf.constant(x)).numpy()
    assert product.shape == (2, 5, 6)
    row_scale = np.abs(x).max(axis=-1, keepdims=True) / np.float32(127)
    steps = np.rint(x / np.where(row_scale == 0, 1, row_scale))
    column_scale = np.abs(matrix).max(axis=0) / np.float32(127)
    exact = (steps @ np.rint(matrix / column_scale)) * row_scale * column_scale
    exact += 0 if bias is None else bias
    np.testing.assert_allclose(product, exact, rtol=1e-5, atol=1e-5)
    # Half a step of each of the two, at most, in each of 64 terms; far less in their sum.
    close = x @ matrix + (0 if bias is None else bias)
    error = np.abs(product - close) / np.maximum(np.abs(x).max(axis=-1, keepdims=True), 1e-9)
    assert error.max() < 0.2


def test_an_int8_product_of_a_row_is_the_same_in_any_batch() -> None:
    kernel = Int8Kernel.of(some(512, 96), some(96))
    x = some(33, 512, seed=5)
    together = kernel(tf.constant(x)).numpy()
    for rows in (1, 2, 3, 8):
        np.testing.assert_array_equal(kernel(tf.constant(x[:rows])), together[:rows])


def test_what_is_quantised_keeps_zeros_and_the_largest() -> None:
    rows = np.array([[0, 0, 0], [-2, 1, 0.5], [1e-3, -1e-3, 0]], np.float32)
    steps, scales = quantised(rows)
    assert steps.dtype == np.int8
    np.testing.assert_array_equal(steps, [[0, 0, 0], [-127, 64, 32], [127, -127, 0]])
    np.testing.assert_allclose(scales[1:], [2 / 127, 1e-3 / 127], rtol=1e-6)


@pytest.mark.parametrize(("table", "error"), [(FloatTable, 0.0), (Int8Table, 0.5 / 127)])
def test_a_table_and_its_head_are_of_the_same_rows(table: type[Table], error: float) -> None:
    rows = some(20, 16)
    stored = table(rows)
    ids = tf.constant([[3, 3], [19, 0]])
    size = np.abs(rows).max(axis=1, keepdims=True)
    assert (np.abs(stored(ids) - rows[ids]) <= 1.01 * error * size[ids]).all()
    states, bias = some(4, 16, seed=4), some(20, seed=5)
    head = stored.head(np.float32(0.25), bias)
    expected = 0.25 * states @ rows.T + bias
    np.testing.assert_allclose(head(tf.constant(states)), expected, atol=1e-5 + 20 * error)


def test_a_tied_head_in_int8_is_stored_once() -> None:
    stored = Int8Table(some(20, 16))
    head = stored.head(np.float32(1.0))
    assert isinstance(head, Int8Kernel)
    assert head.steps is stored.steps
