"""What may be written next: rules on scores that hold for every way of searching."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from pipelines.models.architecture import Architecture
from pipelines.models.attention import MASKED

# Scores float32 [rows, vocabulary]; what the rows have written, int32 [rows, limit + 1]: the
# decoder start, ids, padding; the number of ids, int32 scalar → scores, ``MASKED`` where an id
# must not come next.
NextIdRules = Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor]


def next_id_rules(architecture: Architecture) -> NextIdRules:
    """The rules of a model: ``pad_id`` is never written, nor a sequence of ids twice.

    Where the model has a forced BOS, it is the first id in any case.
    """
    size = architecture.no_repeat_ngram_size
    forced = architecture.forced_bos_id

    def apply(scores: tf.Tensor, written: tf.Tensor, position: tf.Tensor) -> tf.Tensor:
        scores += tf.one_hot(
            architecture.pad_id, scores.shape[-1], on_value=MASKED, off_value=0.0
        )
        if size:
            scores = _forbid_repeats(scores, written, position, size)
        if forced is None:
            return scores
        alone = tf.one_hot(forced, scores.shape[-1], on_value=0.0, off_value=MASKED)
        return tf.where(position == 0, alone[tf.newaxis], scores)

    return apply


def _forbid_repeats(
    scores: tf.Tensor, written: tf.Tensor, position: tf.Tensor, size: int
) -> tf.Tensor:
    """Mask the ids that would complete a sequence of ``size`` ids written before.

    The decoder start takes part in ``written`` without effect: it is never written again.
    """
    limit = written.shape[1]
    if limit < size:
        return scores
    count = limit - size + 1  # windows, of which those that end by now have been written
    repeats = tf.range(count) <= position + 1 - size
    for offset in range(size - 1):
        latest = tf.gather(written, tf.maximum(position + 2 - size + offset, 0), axis=1)
        repeats &= written[:, offset : offset + count] == latest[:, tf.newaxis]
    last = written[:, size - 1 : size - 1 + count]
    rows = tf.broadcast_to(tf.range(tf.shape(written)[0])[:, tf.newaxis], tf.shape(last))
    updates = tf.where(repeats, MASKED, scores.dtype.max)
    return tf.tensor_scatter_nd_min(scores, tf.stack([rows, last], axis=-1), updates)
