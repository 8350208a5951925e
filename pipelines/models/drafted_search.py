"""Greedy search that reads several positions in one step: the last id and a draft of the next.

A step with several positions costs less than as many steps, because it reads all weights
once. The model says at each position which id it writes next; as far as these are the draft's,
the positions behind them are those of greedy search, and what it says there holds, too. So the
ids are greedy search's, and only how many a step writes depends on the draft.

A draft is read where it is likely to be right, and where nothing is, ids come one by one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

import tensorflow as tf

from pipelines.models.architecture import Architecture
from pipelines.models.decoder import Cache, Seq2SeqGraph
from pipelines.models.drafts import Draft, draft_ids
from pipelines.models.greedy_rows import GreedyRows, RowsSearch
from pipelines.models.greedy_search import lead_of, two_best
from pipelines.models.next_id_rules import NextIdRules, Written
from pipelines.models.written import put

# Rows that are decoded together with drafts, as it pays on CPUs. With T5-small's sizes on two
# busy cores, a step of 4 rows with two drafts each takes 1.65 times one without, and of 8 rows
# 1.19 times; and a batch takes as many steps as its slowest row.
MOST_ROWS: Final = 1

_DRAFTED: Final = 3  # ids; one gains half as much as three, six hardly more


def drafts_that_pay(graph: Seq2SeqGraph) -> int:
    """The ids that greedy search drafts in a step if nothing else is asked for.

    To look for a draft takes 0.2 to 0.3 ms, for nothing on text that does not copy. On text
    that does, T5-small's sizes gain 1.3 to 1.6 times the speed, and the demo's model loses a
    fifth.
    """
    return _DRAFTED if graph.is_large else 0


class _State(NamedTuple):
    """Loop variables.

    Attributes:
      position: int32 ``[batch]``, ids that each row has written.
      written: int32 ``[batch, decoder_length + 1]``: decoder start, ids, padding.
      stopped: bool ``[batch]``: EOS was written, or the row's limit is reached.
      doubtful: bool ``[batch]``: some decision of the row was too close to call.
      cache: self-attention keys and values; of each row, those behind its position are of
        drafts that were rejected, and are written again before they are read.
      draft: of what each row writes next.
    """

    position: tf.Tensor
    written: tf.Tensor
    stopped: tf.Tensor
    doubtful: tf.Tensor
    cache: Cache
    draft: Draft


class DraftedSearch(RowsSearch):
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
        super().__init__(graph, architecture)
        self._rules = NextIdRules(architecture)
        self._drafted = draft_tokens

    def finish(self, rows: GreedyRows) -> tuple[tf.Tensor, tf.Tensor]:
        """Write rows to their ends; see `RowsSearch`."""
        position = tf.zeros_like(rows.length) + rows.position
        begun = _State(
            position=position,
            written=rows.written,
            stopped=rows.stopped,
            doubtful=rows.doubtful,
            # A row that has ended stays at its limit and goes on drafting there.
            cache=self._graph.with_room(rows.cache, rows.number, self._drafted + 1),
            draft=self._draft(rows, Written(rows.written, position)),
        )
        final = self._loop(
            lambda state: ~tf.reduce_all(state.stopped),
            lambda state: self._step(state, rows),
            begun,
        )
        return final.written[:, 1:], final.doubtful

    def _loop(
        self,
        goes_on: Callable[[_State], tf.Tensor],
        step: Callable[[_State], _State],
        state: _State,
    ) -> _State:
        return _State(
            *tf.while_loop(
                lambda *variables: goes_on(_State(*variables)),
                lambda *variables: step(_State(*variables)),
                state,
                maximum_iterations=self._architecture.decoder_length,
                parallel_iterations=1,
            )
        )

    def _step(self, state: _State, rows: GreedyRows) -> _State:
        """Read a draft, and what follows with as few ids as a step can have, until a draft is
        likely again: on text that does not copy, that is all the way."""
        few = self._graph.storage.fewest_rows - 1
        return self._loop(
            lambda state: (
                ~tf.reduce_any(state.draft.likely & ~state.stopped)
                & ~tf.reduce_all(state.stopped)
            ),
            lambda state: self._read(state, state.draft.ids[:, :few], rows),
            self._read(state, state.draft.ids, rows),
        )

    def _read(self, state: _State, draft: tf.Tensor, rows: GreedyRows) -> _State:
        """Read each row's last id and a draft, and write what greedy search writes there."""
        last = tf.gather(state.written, state.position[:, tf.newaxis], axis=1, batch_dims=1)
        logits, cache = self._graph.steps(
            tf.concat([last, draft], axis=1), state.position, state.cache, rows.memory
        )
        best, lead = self._choose(logits, draft, Written(state.written, state.position))
        holds = self._holds(best, draft, state, rows.limit)
        count = tf.reduce_sum(tf.cast(holds, tf.int32), axis=1)
        position = state.position + count
        written = put(state.written, best, state.position, count)
        doubtful = tf.reduce_any(holds & (lead < self._graph.storage.doubt), axis=1)
        ended = tf.reduce_any(holds & (best == self._architecture.eos_id), axis=1)
        return _State(
            position=position,
            written=written,
            stopped=state.stopped | ended | (position >= rows.limit),
            doubtful=state.doubtful | doubtful,
            cache=cache,
            draft=self._draft(rows, Written(written, position)),
        )

    def _draft(self, rows: GreedyRows, written: Written) -> Draft:
        return draft_ids(rows.packed, rows.length, written, self._drafted, self._architecture)

    def _choose(
        self, logits: tf.Tensor, draft: tf.Tensor, so_far: Written
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """The best id behind each position of a step, and its lead over the second in
        proportion to its size; ``[batch, 1 + drafted]`` both."""
        drafted = draft.shape[1]
        written, positions = so_far, so_far.position[:, tf.newaxis]
        if drafted:
            ids = put(so_far.ids, draft, so_far.position, drafted)
            # Past the last position there is room, but nothing is written.
            positions = tf.minimum(
                positions + tf.range(1 + drafted), self._architecture.decoder_length
            )
            # A rule sees what greedy search has written by then, and nothing behind it.
            by_then = tf.range(tf.shape(ids)[1]) <= positions[:, :, tf.newaxis]
            ids = tf.where(by_then, ids[:, tf.newaxis], self._architecture.pad_id)
            written = Written(tf.reshape(ids, [-1, ids.shape[2]]), tf.reshape(positions, [-1]))
        first, second, best = two_best(self._rules.apply(logits, written))
        shape = tf.shape(positions)
        return tf.reshape(best, shape), tf.reshape(lead_of(first, second), shape)

    def _holds(
        self, best: tf.Tensor, draft: tf.Tensor, state: _State, limit: tf.Tensor
    ) -> tf.Tensor:
        """Which of a step's ids greedy search writes, bool ``[batch, 1 + drafted]``: those up
        to the first that is not drafted, that ends the row, or that is the limit's last."""
        before = best[:, :-1]
        goes_on = (before == draft) & (before != self._architecture.eos_id)
        goes_on = tf.concat([~state.stopped[:, tf.newaxis], goes_on], axis=1)
        room = (limit - state.position)[:, tf.newaxis] > tf.range(best.shape[1])
        return tf.math.cumprod(tf.cast(goes_on & room, tf.int32), axis=1) > 0
