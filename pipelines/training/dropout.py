"""Dropout with bytes as random numbers, which take a fifth of a small model's step.

Keras draws a 32-bit float for each activation and compares it with the rate. One byte is
precise enough to drop a tenth, and four bytes cost as much as one float.
"""

from __future__ import annotations

from typing import Any, Final

import keras
import tensorflow as tf

_VALUES: Final = 256  # of a byte


class ByteDropout(keras.layers.Dropout):
    """`keras.layers.Dropout` with its rate rounded to 256ths; 0.1 drops 26 of 256.

    Kept values are scaled by that rounded rate, so the mean does not change. Seeds and their
    state are those of Keras's layer: checkpoints and determinism do not change.
    """

    stream = 0  # layers of the same seed draw alike only if this is the same, too

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        if not training or self.rate == 0:
            return inputs
        seed = tf.cast(self.seed_generator.next(), tf.int32) + tf.constant([self.stream, 0])
        return inputs * keep_mask(tf.shape(inputs), self.rate, seed, inputs.dtype)


def keep_mask(shape: tf.Tensor, rate: float, seed: Any, dtype: tf.DType) -> tf.Tensor:
    """Return 0 where an activation is dropped, and elsewhere the factor that preserves the
    mean.

    Args:
      shape: int32 ``[rank]``.
      rate: share to drop, in (0, 1); rounded to 256ths, at least one and at most 255.
      seed: two int32; the same seed gives the same mask.
      dtype: of the mask.
    """
    dropped = min(max(round(rate * _VALUES), 1), _VALUES - 1)
    size = tf.reduce_prod(shape)
    words = tf.random.stateless_uniform([(size + 3) // 4], seed, None, None, tf.uint32)
    drawn = tf.reshape(tf.bitcast(words, tf.uint8), [-1])[:size]
    kept = tf.cast(tf.reshape(drawn >= dropped, shape), dtype)
    return kept * tf.cast(_VALUES / (_VALUES - dropped), dtype)


def use_byte_dropout(model: keras.Model, stream: int = 0) -> None:
    """Make every dropout layer of a model draw bytes.

    Args:
      model: a Keras model.
      stream: a different one for each worker that trains together, because their rows differ.

    keras-hub creates its dropout layers itself and accepts no others, so their class is
    replaced; a `ByteDropout` has no state that a `Dropout` lacks.
    """
    for layer in model._flatten_layers():
        if type(layer) is keras.layers.Dropout:
            layer.__class__ = ByteDropout
            layer.stream = stream
