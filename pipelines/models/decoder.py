"""The interface of a model family whose exported graph is decoded."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import Final, NamedTuple

import tensorflow as tf

from pipelines.models.architecture import Architecture
from pipelines.models.attention import (
    merge_heads,
    one_position,
    padding_bias,
    rows_of_heads,
    split_heads,
)
from pipelines.models.kernels import Kernel, Storage
from pipelines.models.padding import Layout, WithoutPadding, WithPadding
from pipelines.models.positions import VISIBLE_BLOCK, Position, position_of

# Kernels of a decoder layer that each step reads. The cross-attention's keys and values are
# projected once, for all of the input.
_OF_A_STEP: Final = ("qkv", "self_out", "cross_q", "cross_out", "ff_in", "ff_out")

# Weights of a step from which on the model is large. Two cores read them in some 6 ms, so what
# takes 0.3 ms besides is 5 % of a step. T5-small has 38 million, the demo's model 2.6.
_LARGE: Final = 25_000_000


class Memory(NamedTuple):
    """What the decoder reads from the encoder; computed once for a batch.

    Attributes:
      keys, values: for each decoder layer ``[batch * heads, length, any]``, as
        `Arithmetic.stored` returns them.
      bias: float32 ``[batch * heads, 1, length]``, masks padding.
    """

    keys: tuple[tf.Tensor, ...]
    values: tuple[tf.Tensor, ...]
    bias: tf.Tensor


class Cache(NamedTuple):
    """Self-attention keys and values of the steps so far, with room for the others.

    A step writes its position in place, so no tensor of a cache may be used for anything else
    once the step has been built: see `Seq2SeqGraph.empty_cache`.

    Attributes:
      layers: for each decoder layer ``[2 * rows * heads * steps, any]``, first keys, then
        values, as `Arithmetic.stored` returns them; zeros where nothing has been written.
    """

    layers: tuple[tf.Tensor, ...]


class Seq2SeqGraph(tf.Module, metaclass=abc.ABCMeta):
    """A trained model as plain TensorFlow ops, ready to be decoded and exported.

    It holds its own copy of the weights (in the layout that decoding wants), so that the
    Keras model need not be saved. No op of it may start with ``Xla``: a stock TF Serving
    refuses that, as it does whatever is jitted, which ``for_xla`` alone allows for.
    """

    decoder_layers: Sequence[tf.Module]
    head: Kernel
    for_xla = False
    """Whether the steps are compiled: XLA wants fixed sizes, and writes in place by itself."""
    for_litert = False
    """Whether LiteRT runs the steps: it wants fixed sizes too, and ops without state."""

    def __init__(
        self,
        architecture: Architecture,
        storage: Storage,
        name: str,
        num_heads: int,
        head_dim: int,
    ) -> None:
        super().__init__(name=name)
        self.storage = storage
        self.num_heads, self.head_dim = num_heads, head_dim
        self.arithmetic = storage.arithmetic(head_dim, architecture.positions)
        self.num_decoder_layers = architecture.decoder_layers
        # So few positions that every step looks at all of its cache.
        self.is_short = architecture.decoder_length <= VISIBLE_BLOCK

    @abc.abstractmethod
    def encoded(
        self, input_ids: tf.Tensor, input_length: tf.Tensor, layout: Layout
    ) -> tf.Tensor:
        """Run the encoder.

        Args:
          input_ids: int32 ``[batch, width]``, prefix and EOS included, padded.
          input_length: int32 ``[batch]``, ids of each row.
          layout: of the states.

        Returns:
          float32 ``[..., d_model]`` in the layout; what is past a row's own ids means nothing.
        """

    def encode(self, input_ids: tf.Tensor, input_length: tf.Tensor) -> Memory:
        """Run the encoder, and project its output for every decoder layer; see `encoded`."""
        width = tf.shape(input_ids)[1]
        if self._fixed_sizes or input_ids.shape[0] == 1:
            return self._encode(input_ids, input_length, WithPadding(width))

        def one_row() -> Memory:
            return self._encode(
                tf.ensure_shape(input_ids[:1], [1, None]),
                input_length[:1],
                WithPadding(width),
            )

        memory: Memory = tf.cond(
            tf.shape(input_ids)[0] == 1,
            one_row,
            lambda: self._encode(input_ids, input_length, WithoutPadding(input_length, width)),
        )
        return memory

    def _encode(self, input_ids: tf.Tensor, input_length: tf.Tensor, layout: Layout) -> Memory:
        encoded = self.encoded(input_ids, input_length, layout)
        projected = [layout.padded(block.cross_kv(encoded)) for block in self.decoder_layers]
        return self._memory(projected, input_length, tf.shape(input_ids)[1])

    @abc.abstractmethod
    def step(
        self,
        token_ids: tf.Tensor,
        position: tf.Tensor,
        cache: Cache,
        memory: Memory,
        beams: int = 1,
    ) -> tuple[tf.Tensor, Cache]:
        """Decode one position of every row.

        Args:
          token_ids: int32 ``[rows]``, what was written at the position before.
          position: int32 scalar, 0 for the first step.
          cache: of the positions before ``position``.
          memory: what ``encode`` returned for ``rows / beams`` inputs.
          beams: how many neighbouring rows belong to one input.

        Returns:
          Logits float32 ``[rows, vocabulary_size]`` and the cache with this position.
        """

    @abc.abstractmethod
    def steps(
        self, token_ids: tf.Tensor, position: tf.Tensor, cache: Cache, memory: Memory
    ) -> tuple[tf.Tensor, Cache]:
        """Decode several positions of every row, each row at its own.

        Args:
          token_ids: int32 ``[rows, count]``, what was written at the position before, and what
            is taken to be written at the next ones; ``count`` is static.
          position: int32 ``[rows]``, the first position of each row.
          cache: of the positions before, with room for these; see `with_room`.
          memory: what ``encode`` returned for the rows.

        Returns:
          Logits float32 ``[rows * count, vocabulary_size]``, those of row 0 first, and the
          cache with these positions. Past ``decoder_length`` both hold no meaning.
        """

    @abc.abstractmethod
    def read(self, token_ids: tf.Tensor, memory: Memory) -> tf.Tensor:
        """Decode all positions of rows that are written already, in one pass.

        Args:
          token_ids: int32 ``[rows, decoder_length]``: the decoder's start, then what was
            written. A position is not moved by what stands behind it.
          memory: what ``encode`` returned for the rows.

        Returns:
          Logits float32 ``[rows * decoder_length, vocabulary_size]``, those of row 0 first.
        """

    def turn_kernels(self) -> None:
        """Get the decoder's kernels ready for `steps` of one row."""
        for kernel in self._kernels_of_a_step():
            kernel.turn()

    @property
    def weights_of_a_step(self) -> int:
        """How many weights a step reads."""
        return self.head.weights + sum(each.weights for each in self._kernels_of_a_step())

    @property
    def is_large(self) -> bool:
        """Whether reading its weights is nearly all of what a step costs."""
        return self.weights_of_a_step >= _LARGE

    def _kernels_of_a_step(self) -> list[Kernel]:
        """Those of the layers, without the head."""
        return [getattr(block, name) for block in self.decoder_layers for name in _OF_A_STEP]

    def empty_cache(self, rows: tf.Tensor, limit: tf.Tensor, most: int) -> Cache:
        """Return the cache before the first step.

        Args:
          rows: int32 scalar.
          limit: int32 ``[any]``, steps of each row: there is room for the largest,
          most: which is never above this.

        Every tensor has its own memory: ``Empty`` is stateful, so TensorFlow never merges
        several into one, as it does with equal ``tf.zeros``.
        """
        steps = most if self._fixed_sizes else longest(limit)
        shape = tf.stack([2 * rows * self.num_heads * steps, self._stored_dim])
        if self.for_litert:
            return Cache((tf.zeros(shape),) * self.num_decoder_layers)
        return Cache(
            tuple(
                tf.raw_ops.Empty(shape=shape, dtype=tf.float32, init=True)
                for _ in range(self.num_decoder_layers)
            )
        )

    def with_room(self, cache: Cache, rows: tf.Tensor, spare: int) -> Cache:
        """Return the cache of so many rows with room for some more positions of each."""

        def longer(part: tf.Tensor) -> tf.Tensor:
            by_head = tf.stack([2 * rows * self.num_heads, -1, self._stored_dim])
            part = tf.pad(tf.reshape(part, by_head), [[0, 0], [0, spare], [0, 0]])
            return tf.reshape(part, [-1, self._stored_dim])

        return Cache(tuple(longer(part) for part in cache.layers))

    def rows_of_memory(self, memory: Memory, rows: tf.Tensor) -> Memory:
        """Return the memory of some rows, int32 ``[n]``, in their order."""

        def chosen(part: tf.Tensor) -> tf.Tensor:
            _, length, size = (tf.shape(part)[i] for i in range(3))
            by_row = tf.reshape(part, tf.stack([-1, self.num_heads, length, size]))
            found = tf.reshape(tf.gather(by_row, rows), tf.stack([-1, length, size]))
            return tf.ensure_shape(found, [None, *part.shape[1:]])

        return Memory(
            tuple(map(chosen, memory.keys)),
            tuple(map(chosen, memory.values)),
            chosen(memory.bias),
        )

    def rows_of_cache(self, cache: Cache, rows: tf.Tensor, total: tf.Tensor) -> Cache:
        """Return a cache with other rows.

        Args:
          cache: of ``total`` rows.
          rows: int32 ``[n]``, which row stands at each place from now on.
        """

        def chosen(part: tf.Tensor) -> tf.Tensor:
            by_row = tf.reshape(part, tf.stack([2, total, -1]))
            return tf.reshape(tf.gather(by_row, rows, axis=1), [-1, self._stored_dim])

        return Cache(tuple(chosen(part) for part in cache.layers))

    def repeated_cache(self, cache: Cache, total: tf.Tensor, copies: tf.Tensor) -> Cache:
        """Return a cache of ``total`` rows with all of them so many times."""

        def of_each(part: tf.Tensor) -> tf.Tensor:
            by_row = tf.reshape(part, tf.stack([2, total, -1]))
            return tf.reshape(tf.tile(by_row, tf.stack([1, copies, 1])), [-1, self._stored_dim])

        return Cache(tuple(of_each(part) for part in cache.layers))

    def _attend(
        self, qkv: tf.Tensor, bias: tf.Tensor, hidden: tf.Tensor | None = None
    ) -> tf.Tensor:
        """Self-attention of whole rows.

        Args:
          qkv: ``[batch, length, 3 * heads * head_dim]``, their queries, keys and values.
          bias, hidden: see `Arithmetic.attend`.

        Returns:
          ``[batch, length, heads * head_dim]``.
        """
        query, key, value = split_heads(qkv, self.num_heads, 3)
        key, value = self.arithmetic.stored(key), self.arithmetic.stored(value)
        return merge_heads(self.arithmetic.attend(query, key, value, bias, hidden))

    @property
    def _stored_dim(self) -> int:
        return self.head_dim + self.arithmetic.extra_columns

    @property
    def _fixed_sizes(self) -> bool:
        return self.for_xla or self.for_litert

    def _position(self, at: tf.Tensor, rows: tf.Tensor, cache: Cache) -> Position:
        """What the layers of a step share; ``at`` as in `position_of`."""
        steps = tf.shape(cache.layers[0])[0] // tf.maximum(2 * rows * self.num_heads, 1)
        return position_of(at, rows, self.num_heads, steps, self._fixed_sizes or self.is_short)

    def _attend_to_itself(
        self, qkv: tf.Tensor, place: Position, bias: tf.Tensor, layer: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Self-attention of a step.

        Args:
          qkv: ``[rows * count, 3 * heads * head_dim]``, each position's query, key and value.
          place: from `_position`.
          bias: from `bias_at`.
          layer: a layer's part of the cache.

        Returns:
          ``[rows * count, heads * head_dim]``, and the layer's cache with these positions.
        """
        size = self.num_heads * self.head_dim
        query, keys_and_values = tf.split(qkv, [size, 2 * size], axis=1)
        layer = self._written(layer, place, keys_and_values)
        both = tf.reshape(layer, tf.stack([2, -1, place.steps, self._stored_dim]))
        if place.visible is not place.steps:
            both = both[:, :, : place.visible]
        keys, values = tf.unstack(both)
        query = one_position(query, self.num_heads, place.per_row)
        attended = self.arithmetic.attend_small(query, keys, values, bias)
        return rows_of_heads(attended, self.num_heads), layer

    def _written(self, part: tf.Tensor, place: Position, new: tf.Tensor) -> tf.Tensor:
        new = self.arithmetic.stored(tf.reshape(new, [-1, self.head_dim]))
        if self._fixed_sizes:
            return tf.tensor_scatter_nd_update(part, place.where[:, tf.newaxis], new)
        return tf.raw_ops.InplaceUpdate(x=part, i=place.where, v=new)

    def _attend_to_memory(
        self, q: tf.Tensor, memory: Memory, layer: int, together: int
    ) -> tf.Tensor:
        """Cross-attention of a step, ``[rows, heads * head_dim]`` to the same shape.

        ``together`` neighbours belong to one input: beams, or positions of a row.
        """
        query = one_position(q, self.num_heads, together)
        attended = self.arithmetic.attend_small(
            query, memory.keys[layer], memory.values[layer], memory.bias
        )
        return rows_of_heads(attended, self.num_heads)

    def _read_memory(self, q: tf.Tensor, memory: Memory, layer: int) -> tf.Tensor:
        """Cross-attention of whole rows, ``[rows, steps, heads * head_dim]`` to the same."""
        (query,) = split_heads(q, self.num_heads, 1)

        def by_row(x: tf.Tensor) -> tf.Tensor:
            return tf.reshape(x, tf.stack([-1, self.num_heads, tf.shape(x)[1], x.shape[2]]))

        bias = tf.reshape(
            memory.bias, tf.stack([-1, self.num_heads, 1, tf.shape(memory.bias)[2]])
        )
        keys, values = by_row(memory.keys[layer]), by_row(memory.values[layer])
        return merge_heads(self.arithmetic.attend(query, keys, values, bias))

    def _memory(
        self, projected: list[tf.Tensor], length: tf.Tensor, width: tf.Tensor
    ) -> Memory:
        """Keys and values side by side, ``[batch, width, 2 * heads * head_dim]`` a layer."""
        pairs = [split_heads(both, self.num_heads, 2) for both in projected]
        keys, values = (
            tuple(
                self.arithmetic.stored(tf.reshape(pair[i], [-1, width, self.head_dim]))
                for pair in pairs
            )
            for i in range(2)
        )
        bias = padding_bias(length, width)[:, 0]
        return Memory(keys, values, tf.repeat(bias, self.num_heads, axis=0))


def longest(lengths: tf.Tensor) -> tf.Tensor:
    """Return the largest of non-negative int32 lengths; 0 for an empty batch."""
    return tf.reduce_max(tf.concat([lengths, [0]], axis=0))
