"""The ops of a decode step that are written for speed give what the plain ones give."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from pipelines.models.attention import dense
from pipelines.models.greedy_search import two_best
from pipelines.models.kernels import LayerKernels


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


@pytest.mark.parametrize("shape", [(6, 4), (512, 1024), (513, 1024)])
def test_one_row_times_a_kernel_of_any_size(shape: tuple[int, int]) -> None:
    random = np.random.default_rng(1)
    x = random.normal(size=[1, shape[0]]).astype(np.float32)
    kernel = random.normal(size=shape).astype(np.float32)
    expected = x.astype(np.float64) @ kernel
    np.testing.assert_allclose(dense(tf.constant(x), tf.constant(kernel)), expected, atol=2e-4)


class Layer(LayerKernels):
    """Kernels of some size, of which one has a bias."""

    def __init__(self) -> None:
        super().__init__()
        random = np.random.default_rng(2)
        for name in ("qkv", "self_out", "cross_q", "cross_out", "ff_in", "ff_out"):
            setattr(self, name, tf.Variable(random.normal(size=[8, 6]).astype(np.float32)))
        self.qkv_bias = tf.Variable(random.normal(size=[6]).astype(np.float32))


@pytest.mark.parametrize("name", ["qkv", "ff_out"])
def test_a_kernels_other_layout_gives_the_same_product(name: str) -> None:
    layer = Layer()
    layer.turn()
    x = tf.constant(np.random.default_rng(3).normal(size=[3, 8]), tf.float32)
    turned = layer.product(name, x, turned=True)
    np.testing.assert_allclose(turned, layer.product(name, x), atol=1e-5)
    assert layer.turned[name].shape == [6, 8]
