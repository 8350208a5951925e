"""Greedy search as plain TensorFlow ops: the likeliest id of each step."""

from __future__ import annotations

from typing import Final, NamedTuple

import tensorflow as tf

from pipelines.models.architecture import Architecture
from pipelines.models.decoder import Cache, Seq2SeqGraph
from pipelines.models.next_id_rules import next_id_rules
from pipelines.models.written import append, nothing_written

# A decision is in doubt when the best logit leads the second by less than this share of
# the larger of 1 and its own size. Rounding was measured at under a hundredth of it; one
# row in some hundreds is in doubt.
_DOUBT: Final = 1e-3


class _State(NamedTuple):
    """Loop variables of greedy decoding.

    Attributes:
      position: int32 scalar, steps done.
      written: int32 ``[batch, decoder_length + 1]``: decoder start, one id a step, padding.
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
                tf.gather(state.written, state.position, axis=1),
                state.position,
                state.cache,
                memory,
            )
            best, lead = self._choose(logits, state)
            doubtful = state.doubtful | (~state.stopped & (lead < _DOUBT))
            best = tf.where(state.stopped, model.pad_id, best)
            position = state.position + 1
            return _State(
                position=position,
                written=append(state.written, best, state.position),
                stopped=state.stopped | (best == model.eos_id) | (position >= limit),
                doubtful=doubtful,
                cache=cache,
            )

        final = _State(
            *tf.while_loop(
                lambda *variables: ~tf.reduce_all(_State(*variables).stopped),
                step,
                _State(
                    position=tf.constant(0),
                    written=tf.ensure_shape(
                        nothing_written(model, batch), [packed.shape[0], None]
                    ),
                    stopped=none,
                    doubtful=none,
                    cache=self._graph.empty_cache(batch, limit, model.decoder_length),
                ),
                maximum_iterations=model.decoder_length,
                parallel_iterations=1,
            )
        )
        return final.written[:, 1:], final.doubtful

    def _choose(self, logits: tf.Tensor, state: _State) -> tuple[tf.Tensor, tf.Tensor]:
        """The best id of each row, and its lead over the second in proportion to its size."""
        values, ids = tf.math.top_k(self._rules(logits, state.written, state.position), k=2)
        scale = tf.maximum(tf.abs(values[:, 0]), 1.0)
        return ids[:, 0], (values[:, 0] - values[:, 1]) / scale
