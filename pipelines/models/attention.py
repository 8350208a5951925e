"""Attention as plain TensorFlow ops: for whole sequences, and for one position of each row.

A decoding step is so short that the overhead of an op matters more than its arithmetic. On x86
TensorFlow replaces ``MatMul``, ``BatchMatMulV2`` and ``Softmax`` with oneDNN's, which
distribute even little work over all threads: 40 to 60 µs per call, and a step has dozens of
calls. ``BatchMatMulV3`` is not replaced, and Eigen's small products and elementwise ops run on
the calling thread. For one position the heads need no transposition either: ``[rows, heads *
dim]`` can be read as ``[rows * heads, 1, dim]``.
"""

from __future__ import annotations

from typing import Final

import tensorflow as tf

# Added to the score of a position that must not be seen. exp() of it is exactly 0 in
# float32, so that padding leaves no trace in a row's answer.
MASKED = -1e9

# Weights of a kernel. Up to half a megabyte oneDNN's product with one row is the quickest: one
# with [192, 192] takes 5 µs, where Eigen's takes 17.
_SMALL_KERNEL: Final = 150_000
_LARGE_KERNEL: Final = 500_000


def padding_bias(length: tf.Tensor, width: tf.Tensor) -> tf.Tensor:
    """Return 0 for a row's own positions, and ``MASKED`` for padding.

    Args:
      length: int32 ``[batch]``, positions of each row.
      width: int32 scalar, positions of the batch.

    Returns:
      float32 ``[batch, 1, 1, width]``, to be added to attention scores.
    """
    own = tf.sequence_mask(length, width, dtype=tf.float32)
    return ((1.0 - own) * MASKED)[:, tf.newaxis, tf.newaxis, :]


def split_heads(x: tf.Tensor, num_heads: int, parts: int) -> list[tf.Tensor]:
    """Split ``[batch, length, parts * heads * dim]`` into ``[batch, heads, length, dim]`` each.

    There is one transpose for all parts, each of which is then contiguous in memory.
    """
    shape = tf.shape(x)
    dim = x.shape[-1] // (parts * num_heads)
    x = tf.reshape(x, [shape[0], shape[1], parts, num_heads, dim])
    split: list[tf.Tensor] = tf.unstack(transposed(x, [2, 0, 3, 1, 4]), num=parts)
    return split


def merge_heads(x: tf.Tensor) -> tf.Tensor:
    """``[batch, heads, length, dim]`` to ``[batch, length, heads * dim]``."""
    shape = tf.shape(x)
    x = transposed(x, [0, 2, 1, 3])
    return tf.reshape(x, [shape[0], shape[2], x.shape[2] * x.shape[3]])


def transposed(x: tf.Tensor, order: list[int]) -> tf.Tensor:
    """``tf.transpose`` of float32, moved as integers: oneDNN, which takes two to four times as
    long for the states of a short text, is asked for float32 alone."""
    return tf.bitcast(tf.transpose(tf.bitcast(x, tf.int32), order), tf.float32)


def attend(query: tf.Tensor, key: tf.Tensor, value: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
    """Softmax attention; ``bias`` is added to the scores ``[batch, heads, q, k]``.

    The query is not scaled here: T5 does not scale it, and BART's weights include the factor.
    """
    weights = tf.nn.softmax(tf.matmul(query, key, transpose_b=True) + bias)
    return tf.matmul(weights, value)


def one_position(x: tf.Tensor, num_heads: int, beams: int = 1) -> tf.Tensor:
    """States of one position as queries.

    Args:
      x: ``[rows, heads * dim]``; groups of ``beams`` adjacent rows read the same keys.

    Returns:
      ``[rows / beams * heads, beams, dim]``.
    """
    dim = x.shape[-1] // num_heads
    if beams > 1:
        x = transposed(tf.reshape(x, [-1, beams, num_heads, dim]), [0, 2, 1, 3])
    return tf.reshape(x, [-1, beams, dim])


def attend_small(
    query: tf.Tensor, key: tf.Tensor, value: tf.Tensor, bias: tf.Tensor
) -> tf.Tensor:
    """As `attend`, for matrices ``[any, queries, dim]`` that are too small for several
    threads."""
    scores = small_product(query, key, transpose_b=True) + bias
    return small_product(tf.exp(tf.nn.log_softmax(scores)), value)


def rows_of_heads(x: tf.Tensor, num_heads: int) -> tf.Tensor:
    """``[sources * heads, beams, dim]``, as `one_position` has it, to
    ``[sources * beams, heads * dim]``."""
    beams, dim = x.shape[1], x.shape[2]
    if beams > 1:
        x = transposed(tf.reshape(x, [-1, num_heads, beams, dim]), [0, 2, 1, 3])
    return tf.reshape(x, [-1, num_heads * dim])


def small_product(x: tf.Tensor, y: tf.Tensor, transpose_b: bool = False) -> tf.Tensor:
    """Return ``x @ y`` for matrices, or batches of them, that are too small for several
    threads."""
    return tf.raw_ops.BatchMatMulV3(x=x, y=y, Tout=x.dtype, adj_y=transpose_b)


def _row_product(x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """``[1, in] @ [in, out]``, which is bound by reading the kernel.

    A small kernel is read by one thread as fast as by several. A large one is read as its
    upper and lower half, in the layout that it has anyway, and the two rows are added.
    """
    size, out = kernel.shape
    if size * out < _SMALL_KERNEL:
        return tf.matmul(x, kernel)
    if size * out < _LARGE_KERNEL or size % 2:
        return small_product(x, kernel)
    halves = small_product(
        tf.reshape(x, [2, 1, size // 2]), tf.reshape(kernel, [2, size // 2, out])
    )
    return tf.reduce_sum(halves, axis=0)


def dense(x: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor | None = None) -> tf.Tensor:
    """``x [..., in] @ kernel [in, out]`` as one flat matrix product."""
    if x.shape.rank == 2:
        flat = _row_product(x, kernel) if x.shape[0] == 1 else tf.matmul(x, kernel)
        return flat if bias is None else tf.nn.bias_add(flat, bias)
    shape = tf.shape(x)
    flat = dense(tf.reshape(x, [-1, x.shape[-1]]), kernel, bias)
    return tf.reshape(flat, tf.concat([shape[:-1], [kernel.shape[-1]]], axis=0))
