"""Rules for the next id: changes of scores that apply to every kind of search.

They are those of transformers (`generation/logits_process.py`), in its order: first changes of
scores, then excluded ids, last forced ids.
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from pipelines.models.architecture import Architecture
from pipelines.models.attention import MASKED


class Written(NamedTuple):
    """The ids that the rows of a step have written.

    Attributes:
      ids: int32 [rows, limit + 1]: the decoder start, ids, padding.
      position: int32, the number of ids: a scalar, or ``[rows]`` where rows differ in it.
    """

    ids: tf.Tensor
    position: tf.Tensor


class NextIdRules:
    """The rules of a model.

    ``pad_id`` is never written, nor a sequence of ids twice, nor a banned one. EOS is not
    written before ``min_output_tokens`` ids. If the model has a forced BOS, it is always the
    first id; if it forces EOS, this is always the last one.
    """

    def __init__(self, architecture: Architecture) -> None:
        self._model = architecture
        self._single = [words[0] for words in architecture.banned_ids if len(words) == 1]
        self._longer = [words for words in architecture.banned_ids if len(words) > 1]

    def apply(self, scores: tf.Tensor, written: Written) -> tf.Tensor:
        """Return the scores according to the rules, ``MASKED`` where an id must not come next.

        Args:
          scores: float32 [rows, vocabulary].
          written: by the same rows.
        """
        model = self._model
        if model.repetition_penalty != 1.0:
            scores = self._weigh_repeats(scores, written)
        never = [model.pad_id, *self._single]
        scores += self._masked(never, scores.shape[-1])
        if model.no_repeat_ngram_size:
            scores = self._forbid_repeats(scores, written, model.no_repeat_ngram_size)
        for words in self._longer:
            scores = self._ban(scores, written, words)
        position = tf.reshape(written.position, [-1, 1])
        if model.min_output_tokens:
            early = position < model.min_output_tokens + model.forced_start
            no_end = self._masked([model.eos_id], scores.shape[-1])
            scores += tf.where(early, no_end, tf.zeros_like(no_end))
        if model.force_eos:
            last = position + 1 == model.decoder_length
            scores = tf.where(last, self._only(model.eos_id, scores), scores)
        if model.forced_bos_id is not None:
            only = self._only(model.forced_bos_id, scores)
            scores = tf.where(position == 0, only, scores)
        return scores

    def _masked(self, ids: list[int], size: int) -> tf.Tensor:
        """float32 [vocabulary]: ``MASKED`` for some ids, 0 for others."""
        if len(ids) == 1:
            return tf.one_hot(ids[0], size, on_value=MASKED, off_value=0.0)
        many = tf.one_hot(sorted(set(ids)), size, on_value=MASKED, off_value=0.0)
        return tf.reduce_min(many, axis=0)

    def _only(self, value: int, scores: tf.Tensor) -> tf.Tensor:
        """float32 [1, vocabulary]: 0 for one id, ``MASKED`` for others."""
        alone = tf.one_hot(value, scores.shape[-1], on_value=0.0, off_value=MASKED)
        return alone[tf.newaxis]

    def _weigh_repeats(self, scores: tf.Tensor, written: Written) -> tf.Tensor:
        """Scores of ids that were written, the decoder start among them, made less likely."""
        penalty = self._model.repetition_penalty
        own = tf.gather(scores, written.ids, axis=1, batch_dims=1)
        own = tf.where(own < 0, own * penalty, own / penalty)
        return tf.tensor_scatter_nd_update(scores, places_of(written.ids), own)

    def _ban(self, scores: tf.Tensor, written: Written, words: tuple[int, ...]) -> tf.Tensor:
        """Scores with the last id of a banned sequence ruled out behind the others."""
        before = len(words) - 1
        begun = tf.reshape(written.position >= before, [-1, 1])
        for offset, value in enumerate(words[:-1]):
            place = tf.maximum(written.position + 1 - before + offset, 0)
            begun &= _at(written.ids, place) == value
        mask = self._masked([words[-1]], scores.shape[-1])
        return scores + tf.where(begun, mask, tf.zeros_like(mask))

    def _forbid_repeats(self, scores: tf.Tensor, written: Written, size: int) -> tf.Tensor:
        """Mask the ids that would complete a sequence of ``size`` ids written before.

        The decoder start takes part in ``written`` without effect: it is never written again.
        """
        ids, position = written.ids, written.position
        limit = ids.shape[1]
        if limit < size:
            return scores
        count = limit - size + 1  # windows, of which those that end by now have been written
        repeats = tf.range(count) <= tf.reshape(position + 1 - size, [-1, 1])
        for offset in range(size - 1):
            latest = _at(ids, tf.maximum(position + 2 - size + offset, 0))
            repeats &= ids[:, offset : offset + count] == latest
        return self._mask_ids(scores, ids[:, size - 1 : size - 1 + count], repeats)

    def _mask_ids(self, scores: tf.Tensor, ids: tf.Tensor, which: tf.Tensor) -> tf.Tensor:
        """Scores of some of the ids ruled out; ids int32, which bool, both ``[rows, n]``."""
        updates = tf.where(which, MASKED, scores.dtype.max)
        return tf.tensor_scatter_nd_min(scores, places_of(ids), updates)


def _at(ids: tf.Tensor, place: tf.Tensor) -> tf.Tensor:
    """The ids at a place of all rows, or at one of each row; int32 ``[rows, 1]``."""
    if place.shape.rank == 0:
        return tf.gather(ids, place, axis=1)[:, tf.newaxis]
    return tf.gather(ids, place[:, tf.newaxis], axis=1, batch_dims=1)


def places_of(ids: tf.Tensor) -> tf.Tensor:
    """Where ids stand in scores: int32 [rows, n] to [rows, n, 2]."""
    rows = tf.broadcast_to(tf.range(tf.shape(ids)[0])[:, tf.newaxis], tf.shape(ids))
    return tf.stack([rows, ids], axis=-1)
