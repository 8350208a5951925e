"""What a model computes besides products with its matrices: norms, attention, activations.

A graph asks for it here, so that the same graph can be computed in float32, or so that a row's
bits depend on nothing but the row (`pipelines.models.exact_arithmetic`).
"""

from __future__ import annotations

import abc
from collections.abc import Callable

import keras
import tensorflow as tf

from pipelines.models.attention import attend, attend_small
from pipelines.models.t5_stacks import KERAS_ACTIVATIONS

Activation = Callable[[tf.Tensor], tf.Tensor]


class Arithmetic(abc.ABC):
    """The operations of a graph that are no products with its matrices."""

    extra_columns = 0
    """Columns that `stored` adds to a head's keys and values."""

    @abc.abstractmethod
    def rms_norm(self, x: tf.Tensor, epsilon: float) -> tf.Tensor:
        """Return float32 ``[..., n]`` divided by the root of its mean square; no weight."""

    @abc.abstractmethod
    def layer_norm(
        self, x: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor, epsilon: float
    ) -> tf.Tensor:
        """Return the layer norm of float32 ``[..., n]`` with weights ``[n]``."""

    @abc.abstractmethod
    def activation(self, name: str) -> Activation:
        """Return one of `pipelines.models.architecture.ACTIVATIONS`."""

    @abc.abstractmethod
    def stored(self, x: tf.Tensor) -> tf.Tensor:
        """Return keys or values as attention reads them.

        Args:
          x: float32 ``[..., head_dim]``.

        Returns:
          float32 ``[..., head_dim + extra_columns]``.
        """

    @abc.abstractmethod
    def attend(
        self,
        query: tf.Tensor,
        key: tf.Tensor,
        value: tf.Tensor,
        bias: tf.Tensor,
        hidden: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """Softmax attention of whole rows.

        The query is not scaled here: T5 does not scale it, and BART's weights include that.

        Args:
          query: float32 ``[..., queries, head_dim]``.
          key, value: from `stored`, ``[..., length, head_dim + extra_columns]``.
          bias: float32, added to the scores ``[..., queries, length]``.
          hidden: float32 ``[..., queries or 1, length]``, below 0 by far where a key is hidden,
            as it is in ``bias``, too; None: where ``bias`` is.

        Returns:
          float32 ``[..., queries, head_dim]``.
        """

    def attend_small(
        self, query: tf.Tensor, key: tf.Tensor, value: tf.Tensor, bias: tf.Tensor
    ) -> tf.Tensor:
        """As `attend`, for the few queries of a step."""
        return self.attend(query, key, value, bias)


class FloatArithmetic(Arithmetic):
    """float32, each operation as TensorFlow computes it fastest.

    How a sum of many is rounded depends on the shapes of the whole batch.
    """

    def rms_norm(self, x: tf.Tensor, epsilon: float) -> tf.Tensor:
        variance = tf.reduce_mean(tf.square(x), axis=-1, keepdims=True)
        return x * tf.math.rsqrt(variance + epsilon)

    def layer_norm(
        self, x: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor, epsilon: float
    ) -> tf.Tensor:
        mean = tf.reduce_mean(x, axis=-1, keepdims=True)
        centred = x - mean
        variance = tf.reduce_mean(tf.square(centred), axis=-1, keepdims=True)
        return centred * tf.math.rsqrt(variance + epsilon) * gamma + beta

    def activation(self, name: str) -> Activation:
        found: Activation = keras.activations.get(KERAS_ACTIVATIONS[name])
        return found

    def stored(self, x: tf.Tensor) -> tf.Tensor:
        return x

    def attend(
        self,
        query: tf.Tensor,
        key: tf.Tensor,
        value: tf.Tensor,
        bias: tf.Tensor,
        hidden: tf.Tensor | None = None,
    ) -> tf.Tensor:
        return attend(query, key, value, bias)

    def attend_small(
        self, query: tf.Tensor, key: tf.Tensor, value: tf.Tensor, bias: tf.Tensor
    ) -> tf.Tensor:
        return attend_small(query, key, value, bias)
