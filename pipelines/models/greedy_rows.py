"""Rows that greedy search is writing: what a step changes, and what it reads of them."""

from __future__ import annotations

import abc
from typing import NamedTuple

import tensorflow as tf

from pipelines.models.architecture import Architecture
from pipelines.models.decoder import Cache, Memory, Seq2SeqGraph
from pipelines.models.written import nothing_written


class GreedyRows(NamedTuple):
    """Rows at one position.

    Attributes:
      place: int32 ``[rows]``, which row of the request each is.
      packed: int32 ``[rows, width]``: prefix, ids and EOS of each row, padded.
      length: int32 ``[rows]``, ids of each row of ``packed``.
      limit: int32 ``[rows]``, steps at most.
      memory: what the decoder reads of them.
      position: int32 scalar, steps done.
      written: int32 ``[rows, decoder_length + 1]``: decoder start, one id a step, padding.
      stopped: bool ``[rows]``: EOS was written, or the row's limit is reached.
      doubtful: bool ``[rows]``: some decision of the row was too close to call.
      cache: self-attention keys and values.
    """

    place: tf.Tensor
    packed: tf.Tensor
    length: tf.Tensor
    limit: tf.Tensor
    memory: Memory
    position: tf.Tensor
    written: tf.Tensor
    stopped: tf.Tensor
    doubtful: tf.Tensor
    cache: Cache

    @property
    def number(self) -> tf.Tensor:
        """How many rows there are, int32 scalar."""
        return tf.shape(self.place)[0]

    @property
    def going_on(self) -> tf.Tensor:
        """How many of them are not at their end, int32 scalar."""
        return tf.reduce_sum(tf.cast(~self.stopped, tf.int32))


def rows_to_write(
    graph: Seq2SeqGraph,
    architecture: Architecture,
    request: tuple[tf.Tensor, tf.Tensor, tf.Tensor],
) -> GreedyRows:
    """Run the encoder: the rows of a search's arguments before the first step.

    Args:
      graph: the model's.
      architecture: limits and special ids.
      request: ``packed``, ``length`` and ``limit``; see `pipelines.models.search.Search`.
    """
    packed, length, limit = request
    number = tf.shape(packed)[0]

    def known(part: tf.Tensor, *others: None) -> tf.Tensor:
        return tf.ensure_shape(part, [packed.shape[0], *others])

    none = known(tf.fill([number], False))
    return GreedyRows(
        place=known(tf.range(number)),
        packed=packed,
        length=length,
        limit=limit,
        memory=graph.encode(packed, length),
        position=tf.constant(0),
        written=known(nothing_written(architecture, number), None),
        stopped=none,
        doubtful=none,
        cache=graph.empty_cache(number, limit, architecture.decoder_length),
    )


def chosen(graph: Seq2SeqGraph, rows: GreedyRows, which: tf.Tensor) -> GreedyRows:
    """Some of the rows, or some of them several times.

    Args:
      graph: the model's.
      rows: to choose from.
      which: int32 ``[n]``, the row that stands at each place from now on.
    """

    def of_each(part: tf.Tensor) -> tf.Tensor:
        return tf.gather(part, which)

    return rows._replace(
        place=of_each(rows.place),
        packed=of_each(rows.packed),
        length=of_each(rows.length),
        limit=of_each(rows.limit),
        memory=graph.rows_of_memory(rows.memory, which),
        written=of_each(rows.written),
        stopped=of_each(rows.stopped),
        doubtful=of_each(rows.doubtful),
        cache=graph.rows_of_cache(rows.cache, which, rows.number),
    )


def repeated(graph: Seq2SeqGraph, rows: GreedyRows, copies: tf.Tensor) -> GreedyRows:
    """All of the rows so many times, an int32 scalar. XLA does it faster than `chosen`."""
    number = rows.number

    def of_each(part: tf.Tensor) -> tf.Tensor:
        ones = [1] * (part.shape.rank - 1)
        return tf.tile(part, tf.stack([copies, *ones]))

    return GreedyRows(
        **{
            name: of_each(part)
            for name, part in rows._asdict().items()
            if isinstance(part, tf.Tensor) and part.shape.rank
        },
        position=rows.position,
        memory=tf.nest.map_structure(of_each, rows.memory),
        cache=graph.repeated_cache(rows.cache, number, copies),
    )


class RowsSearch(abc.ABC):
    """A search that takes rows up wherever they are; see `pipelines.models.search.Search`."""

    def __init__(self, graph: Seq2SeqGraph, architecture: Architecture) -> None:
        self._graph = graph
        self._architecture = architecture

    def search(
        self,
        packed: tf.Tensor,
        length: tf.Tensor,
        limit: tf.Tensor,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Decode rows together; see `Search`."""
        rows = rows_to_write(self._graph, self._architecture, (packed, length, limit))
        return self.finish(rows)

    @abc.abstractmethod
    def finish(self, rows: GreedyRows) -> tuple[tf.Tensor, tf.Tensor]:
        """Write rows to their ends; what is returned is as of `search`."""
