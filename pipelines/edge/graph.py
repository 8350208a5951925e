"""Greedy decoding of one row, made of ops that LiteRT has."""

from __future__ import annotations

import keras
import tensorflow as tf

from pipelines.edge.record import IN_DOUBT, INPUT_IDS, MAX_OUTPUT_TOKENS, OUTPUT_IDS
from pipelines.models.architecture import Architecture
from pipelines.models.attention import MASKED
from pipelines.models.families import serving_graph
from pipelines.models.greedy_search import GreedySearch
from pipelines.models.next_id_rules import NextIdRules, Written, places_of
from pipelines.models.packing import pack, step_limit


class _Rules(NextIdRules):
    """The same rules for LiteRT: it has no scattered minimum, and adds up what is scattered to
    one place several times."""

    def _weigh_repeats(self, scores: tf.Tensor, written: Written) -> tf.Tensor:
        penalty = self._model.repetition_penalty
        weighed = tf.where(scores < 0, scores * penalty, scores / penalty)
        return tf.where(_found(scores, written.ids), weighed, scores)

    def _mask_ids(self, scores: tf.Tensor, ids: tf.Tensor, which: tf.Tensor) -> tf.Tensor:
        masked = tf.minimum(scores, MASKED)
        return tf.where(_found(scores, ids, which), masked, scores)


def _found(scores: tf.Tensor, ids: tf.Tensor, which: tf.Tensor | None = None) -> tf.Tensor:
    """Which ids of the vocabulary are among some, bool like ``scores [rows, vocabulary]``.

    Args:
      ids: int32 ``[rows, n]``.
      which: bool ``[rows, n]``, those of them that are meant; None: all.
    """
    times = tf.ones_like(ids) if which is None else tf.cast(which, tf.int32)
    return tf.scatter_nd(places_of(ids), times, tf.shape(scores)) > 0


class EdgeDecoder(tf.Module):
    """Decodes one row of ids greedily, in one signature."""

    def __init__(self, model: keras.Model, architecture: Architecture) -> None:
        """Copy a model's weights.

        Args:
          model: from `pipelines.models.families.build_model`.
          architecture: of the model, with one beam.
        """
        super().__init__(name="edge_decoder")
        graph = serving_graph(model, architecture)
        graph.for_litert = True
        self.graph = graph
        self._architecture = architecture
        self._search = GreedySearch(graph, architecture, _Rules(architecture))

    @tf.function(
        input_signature=[
            tf.TensorSpec([1, None], tf.int32, name=INPUT_IDS),
            tf.TensorSpec([1], tf.int32, name=MAX_OUTPUT_TOKENS),
        ],
        autograph=False,
    )
    def generate(
        self, input_ids: tf.Tensor, max_output_tokens: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """Summarise a row of ids.

        Args:
          input_ids: int32 ``[1, length]``, the caller's ids alone; what is past
            ``max_input_tokens`` is not read. Prefix and EOS are added here.
          max_output_tokens: int32 ``[1]``, decoder steps at most; 0 or less for the model's own
            limit. The smaller of the two holds.

        Returns:
          ``output_ids`` int32 ``[1, limit of the model]``: the ids written up to and including
          the first EOS, then padding; a forced BOS or EOS is not among them.
          ``in_doubt`` bool ``[1]``: whether any decision was so close that rounding may decide
          it differently on another machine.
        """
        model = self._architecture
        packed, length = pack(model, input_ids, tf.shape(input_ids)[1:])
        packed = tf.ensure_shape(packed, [1, None])
        limit = step_limit(model, max_output_tokens)
        written, doubtful = self._search.search(packed, length, limit)
        start = model.forced_start
        own = written[:, start : start + model.max_output_tokens]
        return {OUTPUT_IDS: own, IN_DOUBT: doubtful}
