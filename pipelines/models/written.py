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
