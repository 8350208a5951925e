"""Greedy search that reads several positions in one step: the last id and a draft of the next.

A step with several positions costs less than as many steps, because it reads all weights
once. The model says at each position which id it writes next; as far as these are the draft's,
the positions behind them are those of greedy search, and what it says there holds, too. So the
ids are greedy search's, and only how many a step writes depends on the draft.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import tensorflow as tf

from pipelines.models.architecture import Architecture
from pipelines.models.decoder import Cache, Memory, Seq2SeqGraph
from pipelines.models.drafts import draft_ids
from pipelines.models.greedy_search import two_best
from pipelines.models.next_id_rules import NextIdRules, Written
from pipelines.models.written import nothing_written, put

# Rows that are decoded together with drafts, as it pays on CPUs. With T5-small's sizes on two
# busy cores, a step of 4 rows with two drafts each takes 1.65 times one without, and of 8 rows
# 1.19 times; and a batch takes as many steps as its slowest row.
MOST_ROWS: Final = 1
# XLA's float32 products take 2 (layers) and 3.2 times (head) as long with 3 rows as with one.
MOST_COMPILED_ROWS: Final = 0


class _State(NamedTuple):
    """Loop variables.

    Attributes:
      position: int32 ``[batch]``, ids that each row has written.
      written: int32 ``[batch, decoder_length + 1]``: decoder start, ids, padding.
      stopped: bool ``[batch]``: EOS was written, or the row's limit is reached.
      doubtful: bool ``[batch]``: some decision of the row was too close to call.
      cache: self-attention keys and values; of each row, those behind its position are of
        drafts that were rejected, and are written again before they are read.
    """

    position: tf.Tensor
    written: tf.Tensor
    stopped: tf.Tensor
    doubtful: tf.Tensor
    cache: Cache


class DraftedSearch:
    """Writes the most likely id at each step, and more if a draft was right; see `Search`."""

    def __init__(
        self, graph: Seq2SeqGraph, architecture: Architecture, draft_tokens: int
    ) -> None:
        """Make the search.

        Args:
          graph: the model's.
          architecture: limits and special ids.
          draft_tokens: ids that each row drafts in a step, from 1 to ``decoder_length - 1``.
        """
        self._graph = graph
        self._architecture = architecture
        self._rules = NextIdRules(architecture)
        self._drafted = draft_tokens

    def search(
        self,
        packed: tf.Tensor,
        length: tf.Tensor,
        limit: tf.Tensor,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Decode rows together; see `Search`."""
        model = self._architecture
        batch = tf.shape(packed)[0]
        rows = packed.shape[0]
        memory = self._graph.encode(packed, length)
        none = tf.ensure_shape(tf.fill([batch], False), [rows])
        final = _State(
            *tf.while_loop(
                lambda *variables: ~tf.reduce_all(_State(*variables).stopped),
                lambda *variables: self._step(
                    _State(*variables), memory, (packed, length, limit)
                ),
                _State(
                    position=tf.ensure_shape(tf.zeros([batch], tf.int32), [rows]),
                    written=tf.ensure_shape(nothing_written(model, batch), [rows, None]),
                    stopped=none,
                    doubtful=none,
                    # A row that has ended stays at its limit and goes on drafting there.
                    cache=self._graph.empty_cache(
                        batch, limit, model.decoder_length, spare=self._drafted + 1
                    ),
                ),
                maximum_iterations=model.decoder_length,
                parallel_iterations=1,
            )
        )
        return final.written[:, 1:], final.doubtful

    def _step(
        self,
        state: _State,
        memory: Memory,
        rows: tuple[tf.Tensor, tf.Tensor, tf.Tensor],
    ) -> _State:
        packed, length, limit = rows
        model = self._architecture
        so_far = Written(state.written, state.position)
        draft = draft_ids(packed, length, so_far, self._drafted, model)
        last = tf.gather(state.written, state.position[:, tf.newaxis], axis=1, batch_dims=1)
        logits, cache = self._graph.steps(
            tf.concat([last, draft], axis=1), state.position, state.cache, memory
        )
        best, lead = self._choose(logits, draft, so_far)
        holds = self._holds(best, draft, state, limit)
        written = tf.reduce_sum(tf.cast(holds, tf.int32), axis=1)
        position = state.position + written
        doubtful = tf.reduce_any(holds & (lead < self._graph.storage.doubt), axis=1)
        ended = tf.reduce_any(holds & (best == model.eos_id), axis=1)
        return _State(
            position=position,
            written=put(state.written, best, state.position, written),
            stopped=state.stopped | ended | (position >= limit),
            doubtful=state.doubtful | doubtful,
            cache=cache,
        )

    def _choose(
        self, logits: tf.Tensor, draft: tf.Tensor, so_far: Written
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """The best id behind each position of a step, and its lead over the second in
        proportion to its size; ``[batch, 1 + drafted]`` both."""
        ahead = tf.range(1 + self._drafted)
        ids = put(so_far.ids, draft, so_far.position, self._drafted)
        # Past the last position there is room, but nothing is written.
        positions = tf.minimum(
            so_far.position[:, tf.newaxis] + ahead, self._architecture.decoder_length
        )
        # A rule sees what greedy search has written by then, and nothing behind it.
        by_then = tf.range(tf.shape(ids)[1]) <= positions[:, :, tf.newaxis]
        ids = tf.where(by_then, ids[:, tf.newaxis], self._architecture.pad_id)
        written = Written(tf.reshape(ids, [-1, ids.shape[2]]), tf.reshape(positions, [-1]))
        first, second, best = two_best(self._rules.apply(logits, written))
        lead = (first - second) / tf.maximum(tf.abs(first), 1.0)
        return tf.reshape(best, tf.shape(positions)), tf.reshape(lead, tf.shape(positions))

    def _holds(
        self, best: tf.Tensor, draft: tf.Tensor, state: _State, limit: tf.Tensor
    ) -> tf.Tensor:
        """Which of a step's ids greedy search writes, bool ``[batch, 1 + drafted]``: those up
        to the first that is not drafted, that ends the row, or that is the limit's last."""
        before = best[:, :-1]
        goes_on = (before == draft) & (before != self._architecture.eos_id)
        goes_on = tf.concat([~state.stopped[:, tf.newaxis], goes_on], axis=1)
        room = (limit - state.position)[:, tf.newaxis] > tf.range(1 + self._drafted)
        return tf.math.cumprod(tf.cast(goes_on & room, tf.int32), axis=1) > 0
