"""Greedy search as plain TensorFlow ops: the likeliest id of each step."""

from __future__ import annotations

from typing import Final, NamedTuple

import tensorflow as tf

from pipelines.models.architecture import Architecture
from pipelines.models.decoder import Cache, Seq2SeqGraph, longest
from pipelines.models.next_id_rules import next_id_rules

# A decision is in doubt when the best logit leads the second by less than this share of
# the larger of 1 and its own size. Rounding was measured at under a hundredth of it; one
# row in some hundreds is in doubt.
_DOUBT: Final = 1e-3


class _State(NamedTuple):
    """Loop variables of greedy decoding.

    Attributes:
      position: int32 scalar, steps done.
      written: int32 ``[batch, position + 1]``: decoder start, then one id a step.
      stopped: bool ``[batch]``: EOS was written, or the row's limit is reached.
      doubtful: bool ``[batch]``: some decision of the row was too close to call.
      cache: self-attention keys and values.
    """

    position: tf.Tensor
    written: tf.Tensor
    stopped: tf.Tensor
    doubtful: tf.Tensor
    cache: Cache


class GreedySearch:
    """Writes the likeliest id at each step; see `pipelines.models.decoding.Search`."""

    def __init__(self, graph: Seq2SeqGraph, architecture: Architecture) -> None:
        self._graph = graph
        self._architecture = architecture
        self._rules = next_id_rules(architecture)

    def search(
        self, packed: tf.Tensor, length: tf.Tensor, limit: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Decode rows together; see `Search`.

        Returns:
          int32 ``[batch, decoder_length]`` padded output, and bool ``[batch]``: which
          rows had a decision too close to call.
        """
        model = self._architecture
        batch = tf.shape(packed)[0]
        memory = self._graph.encode(packed, length)
        none = tf.ensure_shape(tf.fill([batch], False), [packed.shape[0]])

        def step(*variables: tf.Tensor) -> _State:
            state = _State(*variables)
            logits, cache = self._graph.step(
                state.written[:, -1], state.position, state.cache, memory
            )
            best, lead = self._choose(logits, state.written)
            doubtful = state.doubtful | (~state.stopped & (lead < _DOUBT))
            best = tf.where(state.stopped, model.pad_id, best)
            position = state.position + 1
            return _State(
                position=position,
                written=tf.concat([state.written, best[:, tf.newaxis]], axis=1),
                stopped=state.stopped | (best == model.eos_id) | (position >= limit),
                doubtful=doubtful,
                cache=cache,
            )

        final = tf.while_loop(
            lambda *variables: ~tf.reduce_all(_State(*variables).stopped),
            step,
            _State(
                position=tf.constant(0),
                written=tf.ensure_shape(
                    tf.fill([batch, 1], model.decoder_start_id), [packed.shape[0], 1]
                ),
                stopped=none,
                doubtful=none,
                cache=self._graph.empty_cache(batch, longest(limit)),
            ),
            shape_invariants=_State(
                position=tf.TensorShape([]),
                written=tf.TensorShape([packed.shape[0], None]),
                stopped=tf.TensorShape([packed.shape[0]]),
                doubtful=tf.TensorShape([packed.shape[0]]),
                cache=self._graph.cache_shapes(),
            ),
            maximum_iterations=model.decoder_length,
            parallel_iterations=1,
        )
        final = _State(*final)
        missing = model.decoder_length - final.position
        padding = tf.fill([batch, missing], model.pad_id)
        output = tf.concat([final.written[:, 1:], padding], axis=1)
        return tf.ensure_shape(output, [None, model.decoder_length]), final.doubtful

    def _choose(self, logits: tf.Tensor, written: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The best id of each row, and its lead over the second in proportion to its size."""
        values, ids = tf.math.top_k(self._rules(logits, written), k=2)
        scale = tf.maximum(tf.abs(values[:, 0]), 1.0)
        return ids[:, 0], (values[:, 0] - values[:, 1]) / scale
