"""Greedy search as plain TensorFlow ops: the most likely id in each step."""

from __future__ import annotations

import math
from typing import NamedTuple

import tensorflow as tf

from pipelines.models.architecture import Architecture
from pipelines.models.decoder import Cache, Seq2SeqGraph
from pipelines.models.next_id_rules import NextIdRules, Written
from pipelines.models.written import append, nothing_written


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
    """Writes the most likely id at each step; see `pipelines.models.decoding.Search`."""

    def __init__(
        self,
        graph: Seq2SeqGraph,
        architecture: Architecture,
        rules: NextIdRules | None = None,
    ) -> None:
        """Search with a graph; ``rules``: the architecture's, made of other ops."""
        self._graph = graph
        self._architecture = architecture
        self._rules = rules or NextIdRules(architecture)

    def search(
        self,
        packed: tf.Tensor,
        length: tf.Tensor,
        limit: tf.Tensor,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Decode rows together; see `Search`.

        Returns:
          int32 ``[batch, decoder_length]`` padded output, and bool ``[batch]``: which
          rows had a decision too close to call.
        """
        model = self._architecture
        batch = tf.shape(packed)[0]
        memory = self._graph.encode(packed, length)
        rows, static = batch, packed.shape[0]
        if self._graph.storage.fewest_rows > 1:
            copies = tf.where(batch == 1, self._graph.storage.fewest_rows, 1)
            memory, limit = memory.repeated(copies), tf.tile(limit, [copies])
            rows, static = batch * copies, None
        none = tf.ensure_shape(tf.fill([rows], False), [static])

        def step(*variables: tf.Tensor) -> _State:
            state = _State(*variables)
            logits, cache = self._graph.step(
                tf.gather(state.written, state.position, axis=1),
                state.position,
                state.cache,
                memory,
            )
            best, lead = self._choose(logits, state)
            doubtful = state.doubtful | (~state.stopped & (lead < self._graph.storage.doubt))
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
                    written=tf.ensure_shape(nothing_written(model, rows), [static, None]),
                    stopped=none,
                    doubtful=none,
                    cache=self._graph.empty_cache(rows, limit, model.decoder_length),
                ),
                maximum_iterations=model.decoder_length,
                parallel_iterations=1,
            )
        )
        return final.written[:batch, 1:], final.doubtful[:batch]

    def _choose(self, logits: tf.Tensor, state: _State) -> tuple[tf.Tensor, tf.Tensor]:
        """The best id of each row, and its lead over the second in proportion to its size."""
        written = Written(state.written, state.position)
        first, second, best = two_best(self._rules.apply(logits, written))
        return best, (first - second) / tf.maximum(tf.abs(first), 1.0)


def two_best(scores: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Return the two largest scores of each row, and the index of the first of them.

    ``top_k`` of a whole row takes several times as long as a maximum, so it is computed only
    for the blocks' maxima and for the best block.

    Args:
      scores: float32 ``[rows, n]``, n at least 2.

    Returns:
      Two float32 ``[rows]``, and int32 ``[rows]``: of equal scores the lowest index.
    """
    blocks = _blocks(scores.shape[1])
    by_block = tf.reshape(scores, [-1, blocks, scores.shape[1] // blocks])
    maxima, where = tf.math.top_k(tf.reduce_max(by_block, axis=2), k=min(blocks, 2))
    block = where[:, 0]
    values, at = tf.math.top_k(tf.gather(by_block, block, axis=1, batch_dims=1), k=2)
    second = tf.maximum(values[:, 1], maxima[:, 1]) if blocks > 1 else values[:, 1]
    return values[:, 0], second, block * by_block.shape[2] + at[:, 0]


def _blocks(n: int) -> int:
    """The divisor of n that is nearest to its square root, from below."""
    return max(d for d in range(1, math.isqrt(n) + 1) if n % d == 0)
