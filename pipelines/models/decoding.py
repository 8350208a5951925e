"""The exported generation: rows of ids in, rows of ids out, as plain TensorFlow ops.

A row's output must be the same alone and in any batch, because it is billed. Matrix products
round differently for different shapes, by a few units in the last place; that is enough to swap
two ids whose scores are almost equal. So a batch is decoded together, and a row for which any
decision was too close is decoded again by itself. A row that comes alone is also decoded by
itself, in the same part of the graph. So each output either is the row's own or was decided by
a margin far larger than any effect of rounding.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

import tensorflow as tf

from pipelines.models.architecture import Architecture
from pipelines.models.beam_search import BeamSearch
from pipelines.models.decoder import Seq2SeqGraph, longest
from pipelines.models.greedy_search import GreedySearch

_WIDTH_BLOCK: Final = 64  # widths that XLA compiles for are multiples of it


class Search(Protocol):
    """A search for a row's output."""

    def search(
        self, packed: tf.Tensor, length: tf.Tensor, limit: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Decode rows together.

        Args:
          packed: int32 ``[batch, width]``: prefix, ids and EOS of each row, padded.
          length: int32 ``[batch]``, ids of each row of ``packed``.
          limit: int32 ``[batch]``, maximum number of decoder steps, from 1 to
              ``decoder_length``.

        Returns:
          int32 ``[batch, decoder_length]``: ids up to and including EOS, padded; and
          bool ``[batch]``: which rows had a decision too close to call.
        """


def search_of(graph: Seq2SeqGraph, architecture: Architecture) -> Search:
    """Return beam search if the model has more than one beam, else greedy search."""
    if architecture.num_beams > 1:
        return BeamSearch(graph, architecture)
    return GreedySearch(graph, architecture)


class CompiledSearch:
    """A search that XLA compiles, for servers that are started with XLA enabled.

    XLA compiles again for each number of rows and each width, so rows are padded to a
    multiple of 64 ids or to the longest possible row; padding changes no output.
    """

    def __init__(self, search: Search, architecture: Architecture) -> None:
        self._compiled: Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]
        self._compiled = tf.function(search.search, jit_compile=True, autograph=False)
        self._pad_id = architecture.pad_id
        self._longest_row = architecture.encoder_length

    def search(
        self, packed: tf.Tensor, length: tf.Tensor, limit: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Decode rows together; see `Search`."""
        width = tf.shape(packed)[1]
        missing = tf.minimum(-width % _WIDTH_BLOCK, self._longest_row - width)
        padded = tf.pad(packed, [[0, 0], [0, missing]], constant_values=self._pad_id)
        return self._compiled(padded, length, limit)


class Decoder(tf.Module):
    """Decodes a model's graph; see ``BaseModelSpec`` for the contract of ``generate``."""

    def __init__(
        self, graph: Seq2SeqGraph, architecture: Architecture, xla: bool = False
    ) -> None:
        """Make the decoder of a graph.

        Args:
          graph: the model's, for this decoder alone.
          architecture: limits, special ids and the way to search.
          xla: compile the search with XLA. A stock server refuses the result; one that was
            started with ``--xla_cpu_compilation_enabled=true`` runs it.
        """
        super().__init__(name="decoder")
        self.graph = graph
        graph.for_xla = xla
        search = search_of(graph, architecture)
        self._search = CompiledSearch(search, architecture) if xla else search
        self._architecture = architecture

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, None], tf.int32, name="input_ids"),
            tf.TensorSpec([None], tf.int32, name="input_length"),
            tf.TensorSpec([None], tf.int32, name="max_output_tokens"),
        ],
        autograph=False,
    )
    def generate(
        self, input_ids: tf.Tensor, input_length: tf.Tensor, max_output_tokens: tf.Tensor
    ) -> tf.Tensor:
        """Summarise rows of ids.

        Args:
          input_ids: int32 ``[batch, length]``, the caller's ids alone, padded; what is
            past ``max_input_tokens`` is not read.
          input_length: int32 ``[batch]``, ids of each row.
          max_output_tokens: int32 ``[batch]``, decoder steps at most; 0 or less for the
            model's own limit. The smaller of the two holds.

        Returns:
          int32 ``[batch, steps]``: the ids written up to and including the first EOS, then
          ``pad_id``; ``steps`` is the longest row's. ``pad_id`` itself is never written. A
          forced BOS is no step and not among them, nor is a forced EOS.
        """
        packed, length = self._pack(input_ids, input_length)
        model_limit = self._architecture.max_output_tokens
        limit = tf.where(
            max_output_tokens > 0, tf.minimum(max_output_tokens, model_limit), model_limit
        )
        start = self._architecture.forced_start
        if self._architecture.force_eos:  # one more step, unless the limit is a row's own
            limit += tf.cast(limit == model_limit, tf.int32)
        limit += start
        batch = tf.shape(packed)[0]
        output, doubtful = tf.cond(
            batch > 1,
            lambda: self._search.search(packed, length, limit),
            lambda: (
                tf.fill([batch, self._architecture.decoder_length], self._architecture.pad_id),
                tf.fill([batch], True),
            ),
        )
        output = self._redo_alone(output, doubtful, packed, length, limit)
        if self._architecture.force_eos:
            output = output[:, :-1]
        steps = tf.reduce_sum(tf.cast(output != self._architecture.pad_id, tf.int32), axis=1)
        return output[:, start : longest(steps)]

    def in_doubt(self, input_ids: tf.Tensor, input_length: tf.Tensor) -> tf.Tensor:
        """Return which rows contain a decision that rounding could change, bool ``[batch]``.

        Another implementation, which rounds differently, may write other ids for these.
        """
        packed, length = self._pack(input_ids, input_length)
        limit = tf.fill(tf.shape(length), self._architecture.decoder_length)
        return self._search.search(packed, length, limit)[1]

    def _pack(
        self, input_ids: tf.Tensor, input_length: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Prefix, ids and EOS, trimmed to the batch's longest row."""
        model = self._architecture
        length = tf.clip_by_value(input_length, 0, model.max_input_tokens)
        width = longest(length)
        # One column more, for the EOS of the longest row.
        ids = tf.pad(input_ids[:, :width], [[0, 0], [0, 1]])
        position = tf.range(width + 1)[tf.newaxis, :]
        own = length[:, tf.newaxis]
        ids = tf.where(position < own, ids, model.pad_id)
        ids = tf.where(position == own, model.eos_id, ids)
        prefix = tf.constant(model.prefix_ids, tf.int32, shape=[len(model.prefix_ids)])
        prefix = tf.tile(prefix[tf.newaxis, :], [tf.shape(ids)[0], 1])
        return tf.concat([prefix, ids], axis=1), length + len(model.prefix_ids) + 1

    def _redo_alone(
        self,
        output: tf.Tensor,
        doubtful: tf.Tensor,
        packed: tf.Tensor,
        length: tf.Tensor,
        limit: tf.Tensor,
    ) -> tf.Tensor:
        """Replace each doubtful row's output by what the row gives by itself."""
        rows = tf.cast(tf.where(doubtful)[:, 0], tf.int32)

        def redo(i: tf.Tensor, output: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            row = rows[i]
            own = length[row]
            alone, _ = self._search.search(
                packed[row, :own][tf.newaxis, :], own[tf.newaxis], limit[row][tf.newaxis]
            )
            return i + 1, tf.tensor_scatter_nd_update(output, [[row]], alone)

        _, output = tf.while_loop(
            lambda i, _: i < tf.size(rows),
            redo,
            (tf.constant(0), output),
            shape_invariants=(
                tf.TensorShape([]),
                tf.TensorShape([None, self._architecture.decoder_length]),
            ),
            parallel_iterations=1,
        )
        return output
