"""Cross-entropy over label positions that are not padding."""

from __future__ import annotations

import tensorflow as tf


def masked_cross_entropy(
    labels: tf.Tensor, mask: tf.Tensor, logits: tf.Tensor, label_smoothing: float = 0.0
) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the sum of the cross-entropy over labels that are not padding, and their number.

    Args:
      labels: int32 ``[batch, length]``.
      mask: int32 ``[batch, length]``, 1 where there is a label.
      logits: float ``[batch, length, vocabulary_size]``.
      label_smoothing: share of each target that is spread evenly over the vocabulary.

    Returns:
      Two float32 scalars: the sum in nats, and the number of positions.
    """
    logits = tf.cast(logits, tf.float32)
    weight = tf.cast(mask, tf.float32)
    nats = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
    if label_smoothing:
        # The even part: log sum exp minus the mean logit, taken from what is known.
        chosen = tf.gather(logits, labels, axis=2, batch_dims=2)
        even = nats + chosen - tf.reduce_mean(logits, axis=-1)
        nats = (1.0 - label_smoothing) * nats + label_smoothing * even
    return tf.reduce_sum(nats * weight), tf.reduce_sum(weight)
