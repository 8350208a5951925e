"""Arithmetic whose bits depend on a row alone: not on its batch, its padding or the machine.

A row must have the same answer alone and in any batch, because it is billed. Floating-point
sums of many terms round differently in each order, and shapes choose the order. Where values
are rounded to int8 behind them, that moves one by a whole step now and then, and no margin
covers it. So here nothing is left to round differently:

- *Sums of many* are sums of integers. Terms are first rounded to a common step. Where the sum
  is a matrix product, the integers are float32 and so small that no sum reaches 2**24: each is
  then exact in whatever order, and the product is as fast as any of float32.
- *All else is single operations* on one element: additions, products, quotients, square roots,
  each of which IEEE 754 rounds correctly, so there is one right result. Maxima and roundings to
  integers are exact.
- *A product is never added to anything as it is.* A compiler may fuse the two into one
  operation that rounds once, and does so where it sees fit; `settled` stands between them.
- exp() is a polynomial in integers, and everything that needs it is made of that.

`tests/pipelines/models/test_exact_arithmetic.py` holds compiled and plain graphs, shapes and
neighbours to the same bits.
"""

from __future__ import annotations

import math
from typing import Final

import tensorflow as tf

from pipelines.models.architecture import LONGEST_IN_INT8, ArchitectureError
from pipelines.models.arithmetic import Activation, Arithmetic
from pipelines.models.attention import MASKED

# Instead of a largest value of 0.
_SMALLEST: Final = 1e-30
# Integers up to here, and no further, are all float32's.
_EXACT: Final = 2**24
_INT32: Final = 2**31 - 1

# Steps on each side of 0 that keys, values and queries have at most.
_MOST_STEPS: Final = 512

# exp(-x) is found in steps of 2**-18.
_EXP_BITS: Final = 18
_FRACTION_BITS: Final = 15
# Coefficients of a cubic for 2**f - 1 on [0, 1], which is exact at both ends and off by at most
# 1.1e-4 between them, in steps of 2**-15.
_CUBIC: Final = (22_787, 7_419, 2_562)

# Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.26: erfc(z) is a polynomial of
# t = 1 / (1 + p z) times exp(-z**2), within 1.5e-7.
_ERFC_P: Final = 0.3275911
_ERFC: Final = (0.254829592, -0.284496736, 1.421413741, -1.453152027, 1.061405429)
# Hugging Face's gelu_new; Hendrycks and Gimpel, "Gaussian Error Linear Units", section 2.
_GELU_NEW: Final = (math.sqrt(2 / math.pi), 0.044715)


def settled(product: tf.Tensor) -> tf.Tensor:
    """Return a float32 product whose last bit is cleared: nothing that follows can be fused
    with it, so it is rounded by itself wherever it is computed."""
    return tf.bitcast(tf.bitwise.bitwise_and(tf.bitcast(product, tf.int32), -2), tf.float32)


def rounded(x: tf.Tensor, steps: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Return ``x [..., n]`` as integers, in steps that are a share of its largest value.

    Args:
      x: float32.
      steps: how many of them the largest value is.

    Returns:
      float32 integers ``[..., n]`` from ``-steps`` to ``steps``, and the largest absolute
      value, float32 ``[..., 1]``.
    """
    most = tf.maximum(tf.reduce_max(tf.abs(x), axis=-1, keepdims=True), _SMALLEST)
    return tf.round(x * (steps / most)), most


def exp_of_negative(x: tf.Tensor, bits: int = _EXP_BITS) -> tf.Tensor:
    """Return exp(-x) in steps of ``2**-bits``, as integers in float32.

    In integers, after the idea of I-BERT (Kim et al. 2021, section 3.4), with a cubic for its
    square: ``2**(n + f) = 2**f * 2**n``, where n is a whole number and f from 0 to 1.

    Args:
      x: float32, 0 or more.
      bits: up to 18.
    """
    steps = tf.minimum(x * (math.log2(math.e) * 2**_FRACTION_BITS), 31.0 * 2**_FRACTION_BITS)
    steps = -tf.cast(tf.round(steps), tf.int32)
    whole = tf.bitwise.right_shift(steps, _FRACTION_BITS)  # rounds down
    part = tf.bitwise.bitwise_and(steps, 2**_FRACTION_BITS - 1)
    first, second, third = _CUBIC
    power = second + tf.bitwise.right_shift(third * part, _FRACTION_BITS)
    power = first + tf.bitwise.right_shift(power * part, _FRACTION_BITS)
    power = 2**_FRACTION_BITS + tf.bitwise.right_shift(power * part, _FRACTION_BITS)
    power = tf.bitwise.left_shift(power, _EXP_BITS - _FRACTION_BITS)
    power = tf.bitwise.right_shift(power, tf.minimum(_EXP_BITS - bits - whole, 31))
    return tf.cast(power, tf.float32)


class ExactArithmetic(Arithmetic):
    """See the module. For compiled graphs: elsewhere it has many ops."""

    extra_columns = 1  # what a step of the keys' or values' integers is worth

    def __init__(self, head_dim: int, longest: int) -> None:
        """Make it for heads of a width, and rows of so many positions at most with padding.

        Raises:
          ArchitectureError: the rows are too long for sums that are exact.
        """
        # A score is the sum of head_dim products of two such integers.
        self._steps = min(_MOST_STEPS, math.isqrt(_EXACT // head_dim))
        # Weights of one query sum up to so much, give or take half a one each; they are summed
        # up times such an integer.
        self._weights = _EXACT // self._steps - longest
        # So many exponentials of up to 1 are summed up.
        self._exp_bits = min(_EXP_BITS, 24 - longest.bit_length())
        if longest > LONGEST_IN_INT8:
            raise ArchitectureError(
                f"In int8 a row has at most {LONGEST_IN_INT8} ids, with which the sums of its "
                f"attention are exact. Received: {longest}. Lower model.max_input_tokens, or "
                "export with weights = 'float32'"
            )

    def rms_norm(self, x: tf.Tensor, epsilon: float) -> tf.Tensor:
        return x * _inverse_root_of_square(x, epsilon)

    def layer_norm(
        self, x: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor, epsilon: float
    ) -> tf.Tensor:
        n = x.shape[-1]
        steps = _INT32 // (n + 1)
        integers, most = rounded(x, steps)
        total = tf.reduce_sum(tf.cast(integers, tf.int32), axis=-1, keepdims=True)
        centred = x - settled(tf.cast(total, tf.float32) * most * (1.0 / (steps * n)))
        return settled(centred * _inverse_root_of_square(centred, epsilon) * gamma) + beta

    def activation(self, name: str) -> Activation:
        return _ACTIVATIONS[name]

    def stored(self, x: tf.Tensor) -> tf.Tensor:
        integers, most = rounded(x, self._steps)
        return tf.concat([integers, most * (1.0 / self._steps)], axis=-1)

    def attend(
        self,
        query: tf.Tensor,
        key: tf.Tensor,
        value: tf.Tensor,
        bias: tf.Tensor,
        hidden: tf.Tensor | None = None,
    ) -> tf.Tensor:
        integers, most = rounded(query, self._steps)
        # Against the column of the keys' steps.
        integers = tf.pad(integers, [[0, 0]] * (len(query.shape) - 1) + [[0, 1]])
        sums = tf.matmul(integers, key, transpose_b=True)
        scores = settled(sums * (most * (1.0 / self._steps)) * _worth_of(key)) + bias
        behind = tf.reduce_max(scores, axis=-1, keepdims=True) - scores
        likely = exp_of_negative(behind, self._exp_bits)
        total = tf.reduce_sum(likely, axis=-1, keepdims=True)
        # Values have steps of different worth, so that their weights are to these.
        hidden = bias if hidden is None else hidden
        worth = tf.where(hidden > 0.5 * MASKED, _worth_of(value), 0.0)
        most = tf.maximum(tf.reduce_max(worth, axis=-1, keepdims=True), _SMALLEST)
        scale = self._weights / (total * most)
        weights = tf.round(likely * worth * scale)
        return tf.matmul(weights, value)[..., :-1] * (most * (1.0 / self._weights))


def _worth_of(stored: tf.Tensor) -> tf.Tensor:
    """What the steps of stored keys or values are worth, ``[..., 1, length]``."""
    return stored[..., -1][..., tf.newaxis, :]


def _inverse_root_of_square(x: tf.Tensor, epsilon: float) -> tf.Tensor:
    """1 / sqrt(mean(x**2) + epsilon) of float32 ``[..., n]``, ``[..., 1]``."""
    n = x.shape[-1]
    steps = math.isqrt(_INT32 // n)
    integers, most = rounded(x, steps)
    total = tf.reduce_sum(tf.square(tf.cast(integers, tf.int32)), axis=-1, keepdims=True)
    mean = settled(tf.cast(total, tf.float32) * (1.0 / (steps**2 * n)) * most * most)
    # Settled: compilers have an approximation for 1 / sqrt().
    return 1.0 / settled(tf.sqrt(mean + epsilon))


def _exp_of_negative(x: tf.Tensor) -> tf.Tensor:
    return exp_of_negative(x) * 2.0**-_EXP_BITS


def _sigmoid(x: tf.Tensor) -> tf.Tensor:
    small = _exp_of_negative(tf.abs(x))  # times a power of two, which is exact
    return tf.where(x < 0, small, 1.0) / (1.0 + small)


def _silu(x: tf.Tensor) -> tf.Tensor:
    return x * _sigmoid(x)


def _gelu_new(x: tf.Tensor) -> tf.Tensor:
    # (1 + tanh(y)) / 2 is sigmoid(2 y).
    root, cube = _GELU_NEW
    return x * _sigmoid(settled(x * (settled(x * x * cube) + 1.0) * (2.0 * root)))


def _gelu(x: tf.Tensor) -> tf.Tensor:
    z = settled(tf.abs(x) * math.sqrt(0.5))
    t = 1.0 / (settled(z * _ERFC_P) + 1.0)
    polynomial = tf.fill(tf.shape(x), _ERFC[-1])
    for coefficient in reversed(_ERFC[:-1]):
        polynomial = settled(polynomial * t) + coefficient
    tail = settled(polynomial * t * _exp_of_negative(z * z) * 0.5)
    return x * tf.where(x < 0, tail, 1.0 - tail)


_ACTIVATIONS: Final[dict[str, Activation]] = {
    "relu": tf.nn.relu,
    "gelu": _gelu,
    "gelu_new": _gelu_new,
    "silu": _silu,
}
