"""The ids that rows have written so far, as tensors of a fixed width, which compiled loops
need."""

from __future__ import annotations

import tensorflow as tf

from pipelines.models.architecture import Architecture


def nothing_written(architecture: Architecture, rows: tf.Tensor) -> tf.Tensor:
    """int32 ``[rows, decoder_length + 1]``: the decoder's start, then padding."""
    start = tf.one_hot(
        [0],
        architecture.decoder_length + 1,
        on_value=architecture.decoder_start_id,
        off_value=architecture.pad_id,
    )
    return tf.tile(start, tf.stack([rows, 1]))


def append(written: tf.Tensor, ids: tf.Tensor, position: tf.Tensor) -> tf.Tensor:
    """Return the rows with one more id.

    Args:
      written: int32 ``[..., decoder_length + 1]``.
      ids: int32 ``[...]``.
      position: int32 scalar, number of ids that each row already has, without its start.
    """
    here = tf.range(tf.shape(written)[-1]) == position + 1
    return tf.where(here, ids[..., tf.newaxis], written)


def put(
    written: tf.Tensor, ids: tf.Tensor, position: tf.Tensor, count: tf.Tensor | int
) -> tf.Tensor:
    """Return the rows with several more ids, each row's behind its own.

    Args:
      written: int32 ``[rows, decoder_length + 1]``.
      ids: int32 ``[rows, n]``, of which each row gets the first.
      position: int32 ``[rows]``, number of ids that each row already has, without its start.
      count: int32 ``[rows]``, or one number for all: how many it gets; those past
        ``decoder_length`` are left out.
    """
    ahead = tf.range(tf.shape(written)[1]) - position[:, tf.newaxis] - 1
    own = (ahead >= 0) & (ahead < tf.reshape(count, [-1, 1]))
    new = tf.gather(ids, tf.clip_by_value(ahead, 0, ids.shape[1] - 1), axis=1, batch_dims=1)
    return tf.where(own, new, written)
