"""Greedy search of a batch that gets smaller: rows that have ended leave it.

Rows end at different steps, and a step costs more with more rows. So the batch is written in
rounds. A round ends when several rows have ended; the others, with what the decoder reads of
them, are put together and go on as a smaller batch. The last rows are written by what is the
quickest for so few.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

import tensorflow as tf

from pipelines.models.architecture import Architecture
from pipelines.models.decoder import Seq2SeqGraph
from pipelines.models.greedy_rows import GreedyRows, RowsSearch, chosen, rows_to_write
from pipelines.models.greedy_search import GreedySearch
from pipelines.models.shapes import smallest_of

Outcome = tuple[tf.Tensor, tf.Tensor]

# A round ends when this share of its rows has ended.
_ENDED: Final = 1 / 4


class Sizes(Protocol):
    """The sizes that a batch can have."""

    def next_below(self, rows: tf.Tensor) -> tf.Tensor:
        """The size that a batch of so many rows is to have next; int32 scalars both."""

    def with_room_for(self, rows: tf.Tensor) -> tf.Tensor:
        """The smallest size for so many rows; int32 scalars both."""


class AnySize:
    """For graphs that are not compiled."""

    def __init__(self, least: int) -> None:
        """Make it for batches down to so many rows."""
        self._least = least

    def next_below(self, rows: tf.Tensor) -> tf.Tensor:
        left = tf.cast(tf.cast(rows, tf.float32) * (1 - _ENDED), tf.int32)
        return tf.maximum(left, self._least)

    def with_room_for(self, rows: tf.Tensor) -> tf.Tensor:
        return rows


class CompiledSizes:
    """Numbers of rows that are compiled."""

    def __init__(self, rows: Sequence[int]) -> None:
        """Make it of the numbers, rising."""
        self._rows = rows

    def next_below(self, rows: tf.Tensor) -> tf.Tensor:
        """See `Sizes`; 0 for the smallest, which is written to its end."""
        smaller = tf.constant((0, *self._rows))
        return tf.reduce_max(tf.where(smaller < rows, smaller, 0))

    def with_room_for(self, rows: tf.Tensor) -> tf.Tensor:
        return smallest_of(self._rows, rows)


class ShrinkingSearch:
    """Greedy search in rounds; see the module and `pipelines.models.search.Search`."""

    def __init__(
        self,
        graph: Seq2SeqGraph,
        architecture: Architecture,
        last: RowsSearch | None = None,
        last_rows: int = 1,
        compiled: Sequence[int] = (),
    ) -> None:
        """Make the search.

        Args:
          graph: the model's.
          architecture: limits and special ids.
          last: writes the last rows; greedy search if there is no other.
          last_rows: how many these are; at least 1.
          compiled: compile each part with XLA, for these numbers of rows, rising. If all are
            more than the last rows, the smallest is written to its end.
        """
        greedy = GreedySearch(graph, architecture)
        compile_ = tf.function(jit_compile=True, autograph=False) if compiled else _as_it_is
        self._graph = graph
        self._architecture = architecture
        self._begin: Callable[..., GreedyRows] = compile_(self._rows_to_write)
        self._go_on: Callable[..., GreedyRows] = compile_(greedy.go_on)
        self._finish: Callable[..., Outcome] = compile_((last or greedy).finish)
        self._last_rows = last_rows
        self._compiled = bool(compiled)
        self._sizes: Sizes = CompiledSizes(compiled) if compiled else AnySize(last_rows)

    def search(
        self,
        packed: tf.Tensor,
        length: tf.Tensor,
        limit: tf.Tensor,
    ) -> Outcome:
        """Decode rows together; see `Search`."""
        rows = self._begin(packed, length, limit)
        begun = (rows, rows.written[:, 1:], rows.doubtful)
        rows, written, doubtful = tf.while_loop(
            lambda rows, *_: (rows.number > self._last_rows) & (rows.going_on > 0),
            self._round,
            begun,
            shape_invariants=tf.nest.map_structure(_any_rows, begun),
            parallel_iterations=1,
        )
        outcome: Outcome = tf.cond(
            rows.going_on > 0,
            lambda: _put((written, doubtful), rows.place, self._write_last(rows)),
            lambda: (written, doubtful),
        )
        return outcome

    def _rows_to_write(
        self, packed: tf.Tensor, length: tf.Tensor, limit: tf.Tensor
    ) -> GreedyRows:
        return rows_to_write(self._graph, self._architecture, (packed, length, limit))

    def _round(
        self, rows: GreedyRows, written: tf.Tensor, doubtful: tf.Tensor
    ) -> tuple[GreedyRows, tf.Tensor, tf.Tensor]:
        """Write rows until some have ended, and take those out."""
        rows = self._go_on(rows, self._sizes.next_below(rows.number))
        found = (rows.written[:, 1:], rows.doubtful)
        written, doubtful = _put((written, doubtful), rows.place, found)
        # Where a size has room for more rows than go on, some that have ended stay.
        order = tf.argsort(tf.cast(rows.stopped, tf.int32), stable=True)
        size = self._sizes.with_room_for(rows.going_on)
        return chosen(self._graph, rows, order[:size]), written, doubtful

    def _write_last(self, rows: GreedyRows) -> Outcome:
        """The last rows, or the only one: the commonest request."""
        if self._compiled:
            return self._finish(rows)
        if self._last_rows == 1:
            return self._finish(_as_one(rows))
        outcome: Outcome = tf.cond(
            rows.number == 1,
            lambda: self._finish(_as_one(rows)),
            lambda: self._finish(rows),
        )
        return outcome


def _put(outcome: Outcome, place: tf.Tensor, found: Outcome) -> Outcome:
    """The outcome of a batch with that of some of its rows."""
    where = place[:, tf.newaxis]
    written, doubtful = (
        tf.tensor_scatter_nd_update(of_all, where, own)
        for of_all, own in zip(outcome, found, strict=True)
    )
    return written, doubtful


def _as_one(rows: GreedyRows) -> GreedyRows:
    """The rows where TensorFlow knows that it is one.

    A slice is made, because TensorFlow takes what is known of a tensor in a branch as known of
    it everywhere.
    """
    known = {
        name: tf.ensure_shape(part[:1], [1, *part.shape[1:]])
        for name, part in rows._asdict().items()
        if isinstance(part, tf.Tensor) and part.shape.rank
    }
    return rows._replace(**known)


def _any_rows(part: tf.Tensor) -> tf.TensorShape:
    return tf.TensorShape([None, *part.shape[1:]] if part.shape.rank else [])


def _as_it_is(function: Callable[..., Any]) -> Callable[..., Any]:
    return function
