"""The positions of a decoding step: where a cache keeps them, and what they see of it."""

from __future__ import annotations

from typing import Final, NamedTuple

import tensorflow as tf

# Self-attention of a step looks at a multiple of so many positions: all of a short cache,
# and of a long one the part that has been written, rounded up.
VISIBLE_BLOCK: Final = 64


class Position(NamedTuple):
    """The values that all layers of a step share.

    Attributes:
      at: int32, the positions: a scalar where all rows are at one, or ``[rows, per_row]``.
      per_row: number of positions of each row.
      where: int32 ``[rows * per_row * 2 * heads]``, index of the step's places in a cache's
        tensors: of each row and position the keys, then the values.
      steps: int32 scalar, number of positions for which the cache has room.
      visible: int32 scalar, number of positions of the cache that are read; ``steps`` itself if
        all are.
    """

    at: tf.Tensor
    per_row: int
    where: tf.Tensor
    steps: tf.Tensor
    visible: tf.Tensor


def position_of(
    at: tf.Tensor, rows: tf.Tensor, num_heads: int, steps: tf.Tensor, all_visible: bool
) -> Position:
    """What the layers of a step share.

    Args:
      at: int32 scalar, or ``[rows, positions]`` with static ``count``.
      rows: int32 scalar.
      num_heads: of each layer.
      steps: int32 scalar, number of positions for which the cache has room.
      all_visible: read all of them: XLA wants fixed sizes, and of a few a part saves nothing.
    """
    places = tf.reshape(tf.range(2 * rows * num_heads), tf.stack([2, rows, num_heads]))
    first = tf.transpose(places, [1, 0, 2]) * steps
    if at.shape.rank == 0:
        count, last, where = 1, at, first + at
    else:
        count, last = at.shape[1], tf.reduce_max(at)
        by_head = tf.reshape(first, tf.stack([rows, 1, 2 * num_heads]))
        where = by_head + at[:, :, tf.newaxis]
    blocks = last // VISIBLE_BLOCK + 1
    visible = steps if all_visible else tf.minimum(blocks * VISIBLE_BLOCK, steps)
    return Position(at, count, tf.reshape(where, [-1]), steps, visible)


def one_row_of(token_ids: tf.Tensor, place: Position) -> bool:
    """Whether a step is known to be several positions of one row: int32 ``[positions]``."""
    return place.per_row > 1 and bool(token_ids.shape[0] == place.per_row)


def bias_at(bias: tf.Tensor, place: Position, rows: tf.Tensor, num_heads: int) -> tf.Tensor:
    """A step's part of a bias by distance, for all heads of all rows.

    Args:
      bias: float32 ``[heads or 1, 2 * n - 1]``, of the distance to a position that is looked
        at, n steps being the most: distances n - 1 to 0, then ``MASKED``.
      place: of the step.
      rows: int32 scalar.
      num_heads: of each layer.

    Returns:
      float32 ``[rows * heads, count, visible]``, which masks what is not written yet.
    """
    zero = bias.shape[1] // 2
    if place.at.shape.rank == 0:
        start = tf.stack([0, zero - place.at])
        own = tf.slice(bias, start, tf.stack([bias.shape[0], place.visible]))
        return tf.tile(own, [rows * num_heads // bias.shape[0], 1])[:, tf.newaxis, :]
    seen = tf.range(place.visible) + zero - place.at[:, :, tf.newaxis]
    # Positions past the most steps are of drafts alone, and any bias will do for them.
    own = tf.gather(bias, tf.clip_by_value(seen, 0, 2 * zero), axis=1)
    own = tf.tile(tf.transpose(own, [1, 0, 2, 3]), [1, num_heads // bias.shape[0], 1, 1])
    return tf.reshape(own, tf.stack([-1, place.per_row, place.visible]))


def causal_bias(bias: tf.Tensor) -> tf.Tensor:
    """What is added to the scores of whole rows' self-attention.

    Args:
      bias: float32 ``[heads or 1, 2 * n - 1]``, of the distance back to a position: n - 1 to 0,
        then ``MASKED``.

    Returns:
      float32 ``[1, heads or 1, n, n]``.
    """
    steps = bias.shape[1] // 2 + 1
    position = tf.range(steps)
    distance = position[:, tf.newaxis] - position[tf.newaxis, :]
    return tf.gather(bias, steps - 1 - distance, axis=1)[tf.newaxis]
