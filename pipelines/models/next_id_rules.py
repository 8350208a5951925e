"""What may be written next: rules on scores that hold for every way of searching."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from pipelines.models.architecture import Architecture
from pipelines.models.attention import MASKED

# Scores float32 [rows, vocabulary] and what the rows have written, int32 [rows, steps + 1]
# with the decoder start → scores, ``MASKED`` where an id must not come next.
NextIdRules = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


def next_id_rules(architecture: Architecture) -> NextIdRules:
    """The rules of a model: ``pad_id`` is never written, nor a sequence of ids twice.

    Where the model has a forced BOS, it is the first id in any case.
    """
    size = architecture.no_repeat_ngram_size
    forced = architecture.forced_bos_id

    def apply(scores: tf.Tensor, written: tf.Tensor) -> tf.Tensor:
        scores += tf.one_hot(
            architecture.pad_id, scores.shape[-1], on_value=MASKED, off_value=0.0
        )
        scores = _forbid_repeats(scores, written, size) if size else scores
        if forced is None:
            return scores
        alone = tf.one_hot(forced, scores.shape[-1], on_value=0.0, off_value=MASKED)
        return tf.where(tf.shape(written)[1] == 1, alone[tf.newaxis], scores)

    return apply


def _forbid_repeats(logits: tf.Tensor, written: tf.Tensor, size: int) -> tf.Tensor:
    """Mask the ids that would complete a sequence of ``size`` ids written before.

    The decoder start takes part in ``written`` without effect: it is never written again.
    """
    width = tf.shape(written)[1]
    count = tf.maximum(width - size + 1, 0)  # sequences written so far
    repeats = tf.ones([tf.shape(written)[0], count], tf.bool)
    for offset in range(size - 1):
        latest = tf.gather(written, tf.maximum(width - size + 1 + offset, 0), axis=1)
        repeats &= written[:, offset : offset + count] == latest[:, tf.newaxis]
    last = written[:, size - 1 : size - 1 + count]
    rows = tf.broadcast_to(tf.range(tf.shape(written)[0])[:, tf.newaxis], tf.shape(last))
    updates = tf.where(repeats, MASKED, logits.dtype.max)
    return tf.tensor_scatter_nd_min(logits, tf.stack([rows, last], axis=-1), updates)
