"""Greedy search of a batch that gets smaller: rows that have ended leave it.

Rows end at different steps, and a step costs more with more rows. So the batch is written in
rounds. A round ends when several rows have ended; the others, with what the decoder reads of
them, are put together and go on as a smaller batch. The last rows are written by what is the
quickest for so few.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol

import tensorflow as tf

from pipelines.models.architecture import Architecture
from pipelines.models.decoder import Seq2SeqGraph
from pipelines.models.drafted_search import DraftedSearch
from pipelines.models.greedy_rows import GreedyRows, chosen, rows_to_write
from pipelines.models.greedy_search import GreedySearch
from pipelines.models.shapes import CompiledShapes, smallest_of

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
    """The numbers of rows that are compiled."""

    def __init__(self, shapes: CompiledShapes) -> None:
        self._rows = shapes.rows

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
        drafted: DraftedSearch | None = None,
        drafted_rows: int = 1,
        shapes: CompiledShapes | None = None,
    ) -> None:
        """Make the search.

        Args:
          graph: the model's.
          architecture: limits and special ids.
          drafted: writes the last rows, if not greedy search alone.
          drafted_rows: how many these are; at least 1.
          shapes: compile each part of it with XLA for these.
        """
        compiled = tf.function(jit_compile=True, autograph=False) if shapes else _as_it_is
        greedy = GreedySearch(graph, architecture)
        self._graph = graph
        self._architecture = architecture
        self._go_on: Callable[..., GreedyRows] = compiled(greedy.go_on)
        self._begin: Callable[..., GreedyRows] = compiled(self._rows_to_write)
        self._finish: Callable[..., Outcome] = compiled((drafted or greedy).finish)
        self._compiled = shapes is not None
        self._last = drafted_rows if drafted else 1
        self._sizes: Sizes = CompiledSizes(shapes) if shapes else AnySize(self._last)

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
            lambda rows, *_: (rows.number > self._last) & (rows.going_on > 0),
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
        if self._compiled:
            return self._finish(rows)
        if self._last == 1:
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
