"""Beam search as plain TensorFlow ops, with the rules of Hugging Face transformers.

Each step considers the ``2 * num_beams`` most likely continuations of a row's beams. Those that
end (EOS, or the row's limit) are finished if they are among the first ``num_beams``; of the
others the first ``num_beams`` continue. The score of a finished sequence is its log probability
divided by its length to the power of ``length_penalty``. Source of the rules:
``GenerationMixin._beam_search`` of transformers, with whose outputs the tests compare this.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import tensorflow as tf

from pipelines.models.architecture import Architecture
from pipelines.models.attention import MASKED
from pipelines.models.decoder import Cache, Memory, Seq2SeqGraph
from pipelines.models.next_id_rules import NextIdRules, Written
from pipelines.models.written import append, nothing_written

# Two scores closer than this share of the larger of 1 and their size are too close to call;
# see `pipelines.models.decoding`. Scores are sums of log probabilities.
_DOUBT: Final = 1e-4


class _State(NamedTuple):
    """Loop variables; ``k`` is the number of beams.

    Attributes:
      position: int32 scalar, steps done.
      written: int32 ``[batch, k, limit + 1]``, decoder start, the beams' ids, padding.
      scores: float32 ``[batch, k]``, log probability of each beam, falling.
      finished: int32 ``[batch, k, limit]``, padded; the best finished sequences.
      values: float32 ``[batch, k]``, what they are worth; ``MASKED`` where there is none.
      stopped, doubtful: bool ``[batch]``.
      cache: self-attention of the ``batch * k`` beams.
    """

    position: tf.Tensor
    written: tf.Tensor
    scores: tf.Tensor
    finished: tf.Tensor
    values: tf.Tensor
    stopped: tf.Tensor
    doubtful: tf.Tensor
    cache: Cache


class BeamSearch:
    """Finds a likely sequence for each row; see the module and `Search`.

    A row stops as soon as ``num_beams`` sequences are finished if the architecture has
    ``early_stopping``. Otherwise it continues until no beam, at its current length, could be
    better than the worst of them.
    """

    def __init__(self, graph: Seq2SeqGraph, architecture: Architecture) -> None:
        self._graph = graph
        self._architecture = architecture
        self._rules = NextIdRules(architecture)

    def search(
        self,
        packed: tf.Tensor,
        length: tf.Tensor,
        limit: tf.Tensor,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Decode rows together; see `Search`."""
        model = self._architecture
        k = model.num_beams
        batch = tf.shape(packed)[0]
        memory = self._graph.encode(packed, length)
        # One beam is alive at first; k equal ones would find the same thing k times.
        first = tf.constant([0.0] + [MASKED] * (k - 1))[tf.newaxis]
        state = _State(
            position=tf.constant(0),
            written=tf.reshape(
                nothing_written(model, batch * k), [-1, k, model.decoder_length + 1]
            ),
            scores=tf.tile(first, [batch, 1]),
            finished=tf.fill([batch, k, model.decoder_length], model.pad_id),
            values=tf.fill([batch, k], MASKED),
            stopped=tf.fill([batch], False),
            doubtful=tf.fill([batch], False),
            cache=self._graph.empty_cache(batch * k, limit, model.decoder_length),
        )
        final = _State(
            *tf.while_loop(
                lambda *variables: ~tf.reduce_all(_State(*variables).stopped),
                lambda *variables: self._step(_State(*variables), memory, limit),
                state,
                maximum_iterations=model.decoder_length,
                parallel_iterations=1,
            )
        )
        # The limit ends every sequence, so the best finished one is the best of all.
        return final.finished[:, 0], final.doubtful | _close(final.values[:, :2])

    def _step(self, state: _State, memory: Memory, limit: tf.Tensor) -> _State:
        k = self._architecture.num_beams
        batch = tf.shape(state.scores)[0]
        written = tf.reshape(state.written, [batch * k, state.written.shape[2]])
        logits, cache = self._graph.step(
            tf.gather(written, state.position, axis=1),
            state.position,
            state.cache,
            memory,
            beams=k,
        )
        likely = self._rules.apply(tf.nn.log_softmax(logits), Written(written, state.position))
        size = likely.shape[-1]
        total = tf.reshape(likely, [batch, k, size]) + state.scores[:, :, tf.newaxis]
        # One more than is looked at: whether the last one only just got in must be known.
        scores, where = tf.math.top_k(tf.reshape(total, [batch, k * size]), 2 * k + 1)
        doubtful = state.doubtful | (~state.stopped & _close(scores))
        scores, where = scores[:, : 2 * k], where[:, : 2 * k]
        beam, token = where // size, where % size
        sequences = tf.gather(state.written, beam, axis=1, batch_dims=1)
        sequences = append(sequences, token, state.position)
        position = state.position + 1
        ended = (token == self._architecture.eos_id) | (position >= limit)[:, tf.newaxis]

        finished, values, doubtful_end = self._finish(state, sequences, scores, ended, position)
        going, chosen = tf.math.top_k(tf.where(ended, MASKED, scores), k)
        parent = tf.gather(beam, chosen, axis=1, batch_dims=1)
        rows = tf.reshape(parent + k * tf.range(batch)[:, tf.newaxis], [-1])
        return _State(
            position=position,
            written=tf.gather(sequences, chosen, axis=1, batch_dims=1),
            scores=going,
            finished=finished,
            values=values,
            stopped=state.stopped | self._is_over(going, values, position),
            doubtful=doubtful | (~state.stopped & doubtful_end),
            cache=self._graph.rows_of_cache(cache, rows, batch * k),
        )

    def _finish(
        self,
        state: _State,
        sequences: tf.Tensor,
        scores: tf.Tensor,
        ended: tf.Tensor,
        position: tf.Tensor,
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """The best finished sequences with this step's among them."""
        k = self._architecture.num_beams
        worth = scores / tf.cast(position, tf.float32) ** self._architecture.length_penalty
        counts = ended & (tf.range(2 * k) < k)[tf.newaxis] & ~state.stopped[:, tf.newaxis]
        # What has been ruled out is masked and may be among the first all the same.
        counts &= scores > MASKED / 2
        all_values = tf.concat([state.values, tf.where(counts, worth, MASKED)], axis=1)
        values, best = tf.math.top_k(all_values, k + 1)
        chosen = tf.gather(
            tf.concat([state.finished, sequences[:, :, 1:]], axis=1),
            best[:, :k],
            axis=1,
            batch_dims=1,
        )
        return chosen, values[:, :k], _close(values)

    def _is_over(self, going: tf.Tensor, values: tf.Tensor, position: tf.Tensor) -> tf.Tensor:
        full = values[:, -1] > MASKED / 2
        none_left = going[:, 0] < MASKED / 2
        if self._architecture.early_stopping:
            return full | none_left
        hoped = going[:, 0] / tf.cast(position, tf.float32) ** self._architecture.length_penalty
        return none_left | (full & (hoped <= values[:, -1]))


def _close(scores: tf.Tensor) -> tf.Tensor:
    """Whether any two neighbours of falling scores ``[batch, n]`` are too close to call."""
    upper, lower = scores[:, :-1], scores[:, 1:]
    near = (upper - lower) < _DOUBT * tf.maximum(tf.abs(lower), 1.0)
    return tf.reduce_any(near & (lower > MASKED / 2), axis=1)
