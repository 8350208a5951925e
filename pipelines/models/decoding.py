"""The exported generation: greedy decoding as plain TensorFlow ops.

A row's answer must be the same alone and in any batch, for it is billed. Matrix products
round differently for different shapes, by a few units of the last place; that is enough to
swap two ids whose logits are all but equal. Hence the rule: a batch is decoded together,
and a row for which any decision was closer than ``_DOUBT`` is decoded again by itself. A
row that comes alone is decoded by itself, too, in the same piece of graph. So each answer
either is the row's own or was decided by a margin far above what rounding can do.
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from pipelines.models.architecture import Architecture
from pipelines.models.attention import MASKED
from pipelines.models.decoder import Cache, Seq2SeqGraph

# A decision is in doubt when the best logit leads the second by less than this share of
# the larger of 1 and its own size. Rounding was measured at under a hundredth of it (see
# docs/decisions/0002-model-family-and-recipe.md); one row in some hundreds is in doubt.
_DOUBT = 1e-3


class _State(NamedTuple):
    """Loop variables of greedy decoding.

    Attributes:
      position: int32 scalar, steps done.
      written: int32 ``[batch, position + 1]``: decoder start, then one id a step.
      stopped: bool ``[batch]``: EOS was written, or the row's limit is reached.
      doubtful: bool ``[batch]``: some decision of the row was too close to call.
      cache: self-attention keys and values.
    """

    position: tf.Tensor
    written: tf.Tensor
    stopped: tf.Tensor
    doubtful: tf.Tensor
    cache: Cache


class GreedyDecoder(tf.Module):
    """Decodes a model's graph greedily; see ``BaseModelSpec`` for ``generate``'s promise."""

    def __init__(self, graph: Seq2SeqGraph, architecture: Architecture) -> None:
        super().__init__(name="greedy_decoder")
        self.graph = graph
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
          ``pad_id``; ``steps`` is the longest row's. ``pad_id`` itself is never written.
        """
        packed, length = self._pack(input_ids, input_length)
        model_limit = self._architecture.max_output_tokens
        limit = tf.where(
            max_output_tokens > 0, tf.minimum(max_output_tokens, model_limit), model_limit
        )
        batch = tf.shape(packed)[0]
        output, doubtful = tf.cond(
            batch > 1,
            lambda: self._greedy(packed, length, limit),
            lambda: (
                tf.fill([batch, model_limit], self._architecture.pad_id),
                tf.fill([batch], True),
            ),
        )
        output = self._redo_alone(output, doubtful, packed, length, limit)
        steps = tf.reduce_sum(tf.cast(output != self._architecture.pad_id, tf.int32), axis=1)
        return output[:, : _longest(steps)]

    def _pack(
        self, input_ids: tf.Tensor, input_length: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Prefix, ids and EOS, trimmed to the batch's longest row."""
        model = self._architecture
        length = tf.clip_by_value(input_length, 0, model.max_input_tokens)
        width = _longest(length)
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
            alone, _ = self._greedy(
                packed[row, :own][tf.newaxis, :], own[tf.newaxis], limit[row][tf.newaxis]
            )
            return i + 1, tf.tensor_scatter_nd_update(output, [[row]], alone)

        _, output = tf.while_loop(
            lambda i, _: i < tf.size(rows),
            redo,
            (tf.constant(0), output),
            shape_invariants=(
                tf.TensorShape([]),
                tf.TensorShape([None, self._architecture.max_output_tokens]),
            ),
            parallel_iterations=1,
        )
        return output

    def _greedy(
        self, packed: tf.Tensor, length: tf.Tensor, limit: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Decode rows together.

        Returns:
          int32 ``[batch, max_output_tokens]`` padded output, and bool ``[batch]``: which
          rows had a decision too close to call.
        """
        model = self._architecture
        batch = tf.shape(packed)[0]
        memory = self.graph.encode(packed, length)

        def step(*variables: tf.Tensor) -> _State:
            state = _State(*variables)
            logits, cache = self.graph.step(
                state.written[:, -1], state.position, state.cache, memory
            )
            best, lead = self._choose(logits, state.written)
            doubtful = state.doubtful | (~state.stopped & (lead < _DOUBT))
            best = tf.where(state.stopped, model.pad_id, best)
            position = state.position + 1
            return _State(
                position=position,
                written=tf.concat([state.written, best[:, tf.newaxis]], axis=1),
                stopped=state.stopped | (best == model.eos_id) | (position >= limit),
                doubtful=doubtful,
                cache=cache,
            )

        final = tf.while_loop(
            lambda *variables: ~tf.reduce_all(_State(*variables).stopped),
            step,
            _State(
                position=tf.constant(0),
                written=tf.fill([batch, 1], model.pad_id),
                stopped=tf.fill([batch], False),
                doubtful=tf.fill([batch], False),
                cache=self.graph.empty_cache(batch),
            ),
            shape_invariants=_State(
                position=tf.TensorShape([]),
                written=tf.TensorShape([None, None]),
                stopped=tf.TensorShape([None]),
                doubtful=tf.TensorShape([None]),
                cache=self.graph.cache_shapes(),
            ),
            maximum_iterations=model.max_output_tokens,
            parallel_iterations=1,
        )
        final = _State(*final)
        missing = model.max_output_tokens - final.position
        padding = tf.fill([batch, missing], model.pad_id)
        output = tf.concat([final.written[:, 1:], padding], axis=1)
        return tf.ensure_shape(output, [None, model.max_output_tokens]), final.doubtful

    def _choose(self, logits: tf.Tensor, written: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The best id of each row, and its lead over the second in proportion to its size."""
        forbidden = tf.one_hot(
            self._architecture.pad_id, logits.shape[-1], on_value=MASKED, off_value=0.0
        )
        logits += forbidden
        size = self._architecture.no_repeat_ngram_size
        if size:
            logits = _forbid_repeats(logits, written, size)
        values, ids = tf.math.top_k(logits, k=2)
        scale = tf.maximum(tf.abs(values[:, 0]), 1.0)
        return ids[:, 0], (values[:, 0] - values[:, 1]) / scale


def _forbid_repeats(logits: tf.Tensor, written: tf.Tensor, size: int) -> tf.Tensor:
    """Mask the ids that would complete a sequence of ``size`` ids written before.

    The decoder start takes part in ``written`` without effect: it is never written again.
    """
    width = tf.shape(written)[1]
    count = tf.maximum(width - size + 1, 0)  # sequences written so far
    repeats = tf.ones([tf.shape(written)[0], count], tf.bool)
    for offset in range(size - 1):
        latest = tf.gather(written, tf.maximum(width - size + 1 + offset, 0), axis=1)
        repeats &= written[:, offset : offset + count] == latest[:, tf.newaxis]
    last = written[:, size - 1 : size - 1 + count]
    rows = tf.broadcast_to(tf.range(tf.shape(written)[0])[:, tf.newaxis], tf.shape(last))
    updates = tf.where(repeats, MASKED, logits.dtype.max)
    return tf.tensor_scatter_nd_min(logits, tf.stack([rows, last], axis=-1), updates)


def _longest(lengths: tf.Tensor) -> tf.Tensor:
    """The largest of non-negative int32 lengths; 0 for an empty batch."""
    return tf.reduce_max(tf.concat([lengths, [0]], axis=0))
