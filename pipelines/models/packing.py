"""What a search is given, made of what the caller asked for: encoder rows and limits."""

from __future__ import annotations

import tensorflow as tf

from pipelines.models.architecture import Architecture
from pipelines.models.decoder import longest


def pack(
    model: Architecture, input_ids: tf.Tensor, input_length: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Return rows with prefix, ids and EOS, trimmed to the batch's longest row.

    Args:
      model: the architecture.
      input_ids: int32 ``[batch, length]``, the caller's ids alone, padded; what is past
        ``max_input_tokens`` is not read.
      input_length: int32 ``[batch]``, ids of each row.

    Returns:
      int32 ``[batch, width]``, padded, and int32 ``[batch]``, ids of each of its rows.
    """
    length = tf.clip_by_value(input_length, 0, model.max_input_tokens)
    width = longest(length)
    # One column more, for the EOS of the longest row.
    ids = tf.pad(input_ids[:, :width], [[0, 0], [0, 1]])
    position = tf.range(width + 1)[tf.newaxis, :]
    own = length[:, tf.newaxis]
    ids = tf.where(position < own, ids, model.pad_id)
    ids = tf.where(position == own, model.eos_id, ids)
    prefix = tf.constant(model.prefix_ids, tf.int32, shape=[len(model.prefix_ids)])
    prefix = tf.tile(prefix[tf.newaxis, :], [tf.shape(ids)[0], 1])
    return tf.concat([prefix, ids], axis=1), length + len(model.prefix_ids) + 1


def step_limit(model: Architecture, max_output_tokens: tf.Tensor) -> tf.Tensor:
    """Return the most decoder steps of each row, forced ones included.

    Args:
      model: the architecture.
      max_output_tokens: int32 ``[batch]``, ids at most; 0 or less for the model's own limit.
        The smaller of the two holds.

    Returns:
      int32 ``[batch]``, from 1 to ``decoder_length``.
    """
    own = model.max_output_tokens
    limit = tf.where(max_output_tokens > 0, tf.minimum(max_output_tokens, own), own)
    if model.force_eos:  # one more step, unless the limit is a row's own
        limit += tf.cast(limit == own, tf.int32)
    return limit + model.forced_start
