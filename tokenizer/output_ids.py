"""The counting contract for ids that a decoder has written, as TensorFlow ops.

Import only where TensorFlow may be imported.
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from tokenizer.contract import BaseModelSpec


class CountedIds(NamedTuple):
    """Which of a batch's output ids count.

    Attributes:
      counted: bool [batch, steps]: before the row's first EOS, within its limit, not padding.
      stopped: bool [batch]: whether an EOS was written within the limit.
    """

    counted: tf.Tensor
    stopped: tf.Tensor


def count_output_ids(
    output_ids: tf.Tensor, limit: tf.Tensor, spec: BaseModelSpec
) -> CountedIds:
    """Determine which ids of each row count, independently of the other rows.

    Args:
      output_ids: int32 [batch, steps], as a base model's ``generate`` returns them.
      limit: int32 [batch], maximum number of ids of a row, including EOS.
      spec: says which ids are EOS and padding.
    """
    steps = tf.range(tf.shape(output_ids)[1])
    within = steps[tf.newaxis, :] < limit[:, tf.newaxis]
    is_eos = (output_ids == spec.eos_id) & within
    before_eos = tf.cumsum(tf.cast(is_eos, tf.int32), axis=1) == 0
    counted = before_eos & within & (output_ids != spec.pad_id)
    return CountedIds(counted, tf.ensure_shape(tf.reduce_any(is_eos, axis=1), [None]))


def ids_with_text(
    output_ids: tf.Tensor, counted: tf.Tensor, spec: BaseModelSpec
) -> tf.RaggedTensor:
    """Return the counted ids that a detokeniser accepts, int32 [batch, None].

    An embedding may be larger than the vocabulary, as in T5's own checkpoints. An id beyond the
    vocabulary was written and counts, but has no text; with it, the detokeniser would fail for
    the whole batch.
    """
    known = (output_ids >= 0) & (output_ids < spec.vocabulary_size)
    return tf.ragged.boolean_mask(output_ids, counted & known)
