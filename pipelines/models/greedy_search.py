"""Greedy search as plain TensorFlow ops: the most likely id in each step."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from pipelines.models.architecture import Architecture
from pipelines.models.decoder import Cache, Seq2SeqGraph
from pipelines.models.greedy_rows import GreedyRows, RowsSearch, repeated
from pipelines.models.next_id_rules import NextIdRules, Written
from pipelines.models.written import append


class _Written(NamedTuple):
    """What a step changes; see `GreedyRows`."""

    position: tf.Tensor
    written: tf.Tensor
    stopped: tf.Tensor
    doubtful: tf.Tensor
    cache: Cache


class GreedySearch(RowsSearch):
    """Writes the most likely id at each step; see `pipelines.models.decoding.Search`."""

    def __init__(
        self,
        graph: Seq2SeqGraph,
        architecture: Architecture,
        rules: NextIdRules | None = None,
    ) -> None:
        """Search with a graph; ``rules``: the architecture's, made of other ops."""
        super().__init__(graph, architecture)
        self._rules = rules or NextIdRules(architecture)

    def finish(self, rows: GreedyRows) -> tuple[tf.Tensor, tf.Tensor]:
        """Write rows to their ends; see `RowsSearch`."""
        number, fewest = rows.number, self._graph.storage.fewest_rows
        if fewest > 1:
            copies = tf.where(number == 1, fewest, 1)
            rows = repeated(self._graph, rows, copies)
        final = self._loop(rows, lambda state: ~tf.reduce_all(state.stopped))
        return final.written[:number, 1:], final.doubtful[:number]

    def go_on(self, rows: GreedyRows, few: tf.Tensor) -> GreedyRows:
        """Write rows until no more than so many, an int32 scalar, are not at their ends."""
        final = self._loop(
            rows,
            lambda state: tf.reduce_sum(tf.cast(~state.stopped, tf.int32)) > few,
        )
        return rows._replace(**final._asdict())

    def _loop(self, rows: GreedyRows, goes_on: Callable[[_Written], tf.Tensor]) -> _Written:
        return _Written(
            *tf.while_loop(
                lambda *variables: goes_on(_Written(*variables)),
                lambda *variables: self._step(_Written(*variables), rows),
                _Written(*(getattr(rows, name) for name in _Written._fields)),
                maximum_iterations=self._architecture.decoder_length,
                parallel_iterations=1,
            )
        )

    def _step(self, state: _Written, rows: GreedyRows) -> _Written:
        model = self._architecture
        logits, cache = self._graph.step(
            tf.gather(state.written, state.position, axis=1),
            state.position,
            state.cache,
            rows.memory,
        )
        best, lead = self._choose(logits, Written(state.written, state.position))
        doubtful = state.doubtful | (~state.stopped & (lead < self._graph.storage.doubt))
        best = tf.where(state.stopped, model.pad_id, best)
        position = state.position + 1
        return _Written(
            position=position,
            written=append(state.written, best, state.position),
            stopped=state.stopped | (best == model.eos_id) | (position >= rows.limit),
            doubtful=doubtful,
            cache=cache,
        )

    def _choose(self, logits: tf.Tensor, so_far: Written) -> tuple[tf.Tensor, tf.Tensor]:
        """The best id of each row, and its lead over the second in proportion to its size."""
        first, second, best = two_best(self._rules.apply(logits, so_far))
        return best, lead_of(first, second)


def lead_of(first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
    """The lead of the best score over the second as a share of the larger of 1 and its size."""
    return (first - second) / tf.maximum(tf.abs(first), 1.0)


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
