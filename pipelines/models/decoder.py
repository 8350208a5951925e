"""What a model family must offer so that its exported graph can be decoded."""

from __future__ import annotations

import abc
from typing import NamedTuple

import tensorflow as tf


class Memory(NamedTuple):
    """What the decoder reads of the encoder; computed once for a batch.

    Attributes:
      keys, values: for each decoder layer ``[batch, heads, length, head_dim]``.
      bias: float32 ``[batch, 1, 1, length]``, masks padding.
    """

    keys: tuple[tf.Tensor, ...]
    values: tuple[tf.Tensor, ...]
    bias: tf.Tensor


class Cache(NamedTuple):
    """Self-attention keys and values of the steps so far.

    For each decoder layer ``[batch, heads, steps, head_dim]``; grown by one step at a
    time with ``tf.concat``.
    """

    keys: tuple[tf.Tensor, ...]
    values: tuple[tf.Tensor, ...]


class Seq2SeqGraph(tf.Module, metaclass=abc.ABCMeta):
    """A trained model as plain TensorFlow ops, ready to be decoded and exported.

    It holds its own copy of the weights (in the layout that decoding wants), so that the
    Keras model need not be saved. No op of it may start with ``Xla``, and nothing may be
    jitted: a stock TF Serving refuses both.
    """

    num_layers: int
    num_heads: int
    head_dim: int

    @abc.abstractmethod
    def encode(self, input_ids: tf.Tensor, input_length: tf.Tensor) -> Memory:
        """Run the encoder and project its output for every decoder layer.

        Args:
          input_ids: int32 ``[batch, length]``, prefix and EOS included, padded.
          input_length: int32 ``[batch]``, ids of each row.
        """

    @abc.abstractmethod
    def step(
        self, token_ids: tf.Tensor, position: tf.Tensor, cache: Cache, memory: Memory
    ) -> tuple[tf.Tensor, Cache]:
        """Decode one position of every row.

        Args:
          token_ids: int32 ``[batch]``, what was written at the position before.
          position: int32 scalar, 0 for the first step.
          cache: of the positions before ``position``.
          memory: what ``encode`` returned.

        Returns:
          Logits float32 ``[batch, vocabulary_size]`` and the cache with this position.
        """

    def empty_cache(self, batch: tf.Tensor) -> Cache:
        """The cache before the first step."""
        empty = tf.zeros([batch, self.num_heads, 0, self.head_dim])
        layers = (empty,) * self.num_layers
        return Cache(keys=layers, values=layers)

    def cache_shapes(self) -> Cache:
        """Static shapes of a cache while it grows, for ``tf.while_loop``."""
        shape = tf.TensorShape([None, self.num_heads, None, self.head_dim])
        layers = (shape,) * self.num_layers
        return Cache(keys=layers, values=layers)
