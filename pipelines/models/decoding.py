"""The exported generation: rows of ids in, rows of ids out, as plain TensorFlow ops.

A row's output must be the same alone and in any batch, because it is billed. Matrix products
round differently for different shapes, by a few units in the last place; that is enough to swap
two ids whose scores are almost equal. So a batch is decoded together, a row that comes alone by
itself, and a row for which any decision was too close to call is decided again in a way that
does not depend on the request (`SecondPass`). So each output either was decided by a margin far
larger than any effect of rounding, or is the row's own.

In int8 no greedy decision needs a margin: logits have the same bits in every batch
(`pipelines.models.exact_arithmetic`).
"""

from __future__ import annotations

import tensorflow as tf

from pipelines.models.architecture import Architecture
from pipelines.models.beam_search import BeamSearch
from pipelines.models.decoder import Seq2SeqGraph, longest
from pipelines.models.drafted_search import MOST_ROWS, DraftedSearch
from pipelines.models.greedy_rows import RowsSearch
from pipelines.models.greedy_search import GreedySearch
from pipelines.models.packing import pack, step_limit
from pipelines.models.search import Search
from pipelines.models.search_in_shapes import CompiledSearch, FewOrMany, SearchInShapes
from pipelines.models.second_pass import (
    CompiledSecondPass,
    ReadAgain,
    SecondPass,
    SecondSearch,
    decide_doubtful,
)
from pipelines.models.shapes import CompiledShapes
from pipelines.models.shrinking_search import ShrinkingSearch


class Decoder(tf.Module):
    """Decodes a model's graph; see ``BaseModelSpec`` for the contract of ``generate``."""

    def __init__(
        self,
        graph: Seq2SeqGraph,
        architecture: Architecture,
        xla: CompiledShapes | None = None,
        draft_tokens: int = 0,
        drafted_rows: int = MOST_ROWS,
    ) -> None:
        """Make the decoder of a graph.

        Args:
          graph: the model's, for this decoder alone.
          architecture: limits, special ids and the way to search.
          xla: compile the search with XLA for these shapes. A stock server refuses the result;
            one that was started with ``--xla_cpu_compilation_enabled=true`` runs it.
          draft_tokens: ids that greedy search drafts in each step; 0: none. They change no id.
          drafted_rows: most rows that are decoded together with drafts.
        """
        super().__init__(name="decoder")
        self.graph = graph
        graph.for_xla = xla is not None
        self._architecture = architecture
        # A row of one step has nothing to draft.
        draft_tokens = min(draft_tokens, architecture.decoder_length - 1)
        self._search: Search
        if architecture.num_beams > 1:
            self._search = BeamSearch(graph, architecture)
            if xla:
                self._search = SearchInShapes(CompiledSearch(self._search), architecture, xla)
        elif draft_tokens and drafted_rows:
            drafted = DraftedSearch(graph, architecture, draft_tokens)
            self._search = self._greedy(drafted, drafted_rows, xla)
        else:
            self._search = self._greedy(GreedySearch(graph, architecture), 1, xla)
        self._second_pass: SecondPass | None
        if architecture.num_beams > 1:  # there is no single answer to read
            self._second_pass = SecondSearch(self._search)
        elif not graph.storage.doubt:
            self._second_pass = None
        else:
            self._second_pass = ReadAgain(graph, architecture)
            if xla:  # Read seldom, one width will do.
                self._second_pass = CompiledSecondPass(
                    self._second_pass, architecture, xla.widths[-1:]
                )

    def _greedy(self, few: RowsSearch, few_rows: int, xla: CompiledShapes | None) -> Search:
        """Greedy search whose few rows are written by a search that is the best for these."""
        graph, architecture = self.graph, self._architecture
        if not xla:
            if isinstance(few, DraftedSearch):
                graph.turn_kernels()
            return ShrinkingSearch(graph, architecture, few, few_rows)
        search: Search
        if graph.is_large:
            search = ShrinkingSearch(graph, architecture, few, few_rows, compiled=xla.rows)
        else:
            # To hand rows from one compiled part to the next takes 0.3 ms and more, a twentieth
            # of the demo's time, so a small model's search is compiled as a whole.
            search = CompiledSearch(GreedySearch(graph, architecture))
            if isinstance(few, DraftedSearch):
                search = FewOrMany(CompiledSearch(few), search, few_rows)
        return SearchInShapes(search, architecture, xla)

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
        limit = step_limit(self._architecture, max_output_tokens)
        start = self._architecture.forced_start
        rows = (packed, length, limit)
        output, doubtful = self._search.search(*rows)
        if self._second_pass:
            if isinstance(self._second_pass, SecondSearch):
                doubtful &= tf.shape(packed)[0] > 1  # a row alone was decoded by itself
            if isinstance(self._second_pass, CompiledSecondPass):
                # So that a request for one step, as warm-up requests are, has it compiled.
                first = tf.range(tf.shape(packed)[0]) == 0
                doubtful |= first & tf.reduce_all(limit <= start + 1)
            output = decide_doubtful(
                self._second_pass, self._architecture, output, doubtful, rows
            )
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
        return pack(self._architecture, input_ids, input_length)
