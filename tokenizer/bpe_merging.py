"""The merging of byte-level BPE as TensorFlow ops, for all words of a batch together."""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from tokenizer.bpe_tables import NO_MERGE, MergeTables, PairTable

# Ranks that one round looks at beside the pairs that are in doubt; 40 bytes each.
_MOST_IN_REACH = 1_000_000


class _Pieces(NamedTuple):
    """Loop variables of joining.

    Attributes:
      ids: int32 [pieces], of the words that may still change.
      word: int32 [pieces], which word each is of; ascending.
      place: int32 [pieces], index of its first byte; ascending.
      result: int32 [bytes], ids of finished words at the place of their first byte; -1
        elsewhere.
    """

    ids: tf.Tensor
    word: tf.Tensor
    place: tf.Tensor
    result: tf.Tensor


class Merging:
    """Merges pieces as the library does, in as few rounds as possible.

    In each word, a round performs the merge that the library would do next and every other
    one that it is certain to do later (see `tokenizer.bpe_tables`). So a word of real text
    takes a few rounds and a megabyte of letters a few dozen, each of them over all
    remaining pieces.
    """

    def __init__(self, tables: MergeTables, vocabulary_size: int):
        self._tables = tables
        self._size = vocabulary_size

    def join(self, ids: tf.Tensor, word: tf.Tensor) -> tf.Tensor:
        """Join the bytes of words.

        Args:
          ids: int32 [bytes], of single bytes, the words one after another.
          word: int32 [bytes], the word that each belongs to; ascending.

        Returns:
          int32 [bytes]: each id of a word at the position of its first byte, -1 elsewhere.
        """
        if not len(self._tables.merged_ids):
            return ids
        anything = tf.TensorShape([None])
        final = tf.while_loop(
            lambda *state: tf.size(_Pieces(*state).ids) > 0,
            lambda *state: self._round(_Pieces(*state)),
            _Pieces(ids, word, tf.range(tf.size(ids)), tf.fill([tf.size(ids)], -1)),
            shape_invariants=_Pieces(anything, anything, anything, anything),
            parallel_iterations=1,
        )
        return _Pieces(*final).result

    def _round(self, state: _Pieces) -> _Pieces:
        """Join what can be joined; set words aside that have nothing left to join."""
        same_word = state.word[:-1] == state.word[1:]
        rank = self._look_up(self._tables.pairs, state.ids[:-1], state.ids[1:])
        rank = _and_last(tf.where(same_word, rank, NO_MERGE), NO_MERGE)
        nth = tf.cumsum(tf.cast(tf.concat([[False], ~same_word], axis=0), tf.int32))
        most_urgent = tf.gather(tf.math.unsorted_segment_min(rank, nth, nth[-1] + 1), nth)
        chosen = self._early(state, rank, same_word) | _next(rank, most_urgent, nth)
        merged = tf.gather(tf.constant(self._tables.merged_ids), tf.where(chosen, rank, 0))
        ids = tf.where(chosen, merged, state.ids)
        swallowed = _and_first(chosen[:-1], False)
        done = most_urgent == NO_MERGE
        finished = tf.where(done)[:, 0]
        result = tf.tensor_scatter_nd_update(
            state.result,
            tf.gather(state.place, finished)[:, tf.newaxis],
            tf.gather(ids, finished),
        )
        left = tf.where(~(done | swallowed))[:, 0]
        return _Pieces(
            ids=tf.gather(ids, left),
            word=tf.gather(state.word, left),
            place=tf.gather(state.place, left),
            result=result,
        )

    def _early(self, state: _Pieces, rank: tf.Tensor, same_word: tf.Tensor) -> tf.Tensor:
        """Pairs that can be joined now whatever happens elsewhere; bool [pieces].

        Of a run of equal pairs (``a a a a``) every second, from the left.
        """
        before = _and_first(rank[:-1], NO_MERGE)
        after = _and_last(rank[1:], NO_MERGE)
        early = tf.gather(
            tf.constant(self._tables.joins_early), tf.where(rank == NO_MERGE, 0, rank)
        )
        peak = (rank != NO_MERGE) & early & (rank <= before) & (rank <= after)
        place = tf.where(peak)[:, 0]
        place = tf.boolean_mask(place, self._keeps(state, rank, same_word, place))
        # Neighbours that are both left are of one rank: a run. Its first must be the first
        # of its rank in the text, too, or another one takes its left piece.
        starts = _and_first(place[1:] != place[:-1] + 1, True)[: tf.size(place)]
        run = tf.cumsum(tf.cast(starts, tf.int32)) - 1
        first = tf.boolean_mask(place, starts)
        sound = tf.gather(rank, first) < tf.gather(before, first)
        nth = place - tf.gather(first, run)
        taken = tf.boolean_mask(place, (nth % 2 == 0) & tf.gather(sound, run))
        return tf.scatter_nd(
            taken[:, tf.newaxis], tf.ones_like(taken, tf.bool), tf.shape(rank, tf.int64)
        )

    def _keeps(
        self, state: _Pieces, rank: tf.Tensor, same_word: tf.Tensor, place: tf.Tensor
    ) -> tf.Tensor:
        """Whether neither piece of a pair can be taken away before the pair has its turn.

        It cannot where nothing beside the pair is a threat, or where nothing in reach is as
        urgent, so that no threat can be built in time.

        Args:
          place: int64 [pairs], where pairs stand that are the most urgent of their
            neighbours.

        Returns:
          bool [pairs].
        """
        own = tf.gather(rank, place)
        outer = tf.gather(state.ids, tf.maximum(place - 1, 0))
        threat = self._look_up(self._tables.left_threats, outer, tf.gather(state.ids, place))
        left = (threat > own) | ~tf.gather(_and_first(same_word, False), place)
        last = tf.size(rank, tf.int64) - 1
        outer = tf.gather(state.ids, tf.minimum(place + 2, last))
        threat = self._look_up(
            self._tables.right_threats, tf.gather(state.ids, place + 1), outer
        )
        right = (threat >= own) | ~tf.gather(_and_last(same_word, False), place + 1)
        keeps = left & right
        # Not all at once, or a text made for it would take gigabytes: the others wait.
        doubtful = tf.where(~keeps)[: _MOST_IN_REACH // self._tables.longest_piece, 0]
        there, urgency = tf.gather(place, doubtful), tf.gather(own, doubtful)
        calm_left = self._most_urgent(state, rank, there, -1) > urgency
        calm_right = self._most_urgent(state, rank, there, 1) >= urgency
        calm = (calm_left | tf.gather(left, doubtful)) & (
            calm_right | tf.gather(right, doubtful)
        )
        return tf.tensor_scatter_nd_update(keeps, doubtful[:, tf.newaxis], calm)

    def _most_urgent(
        self, state: _Pieces, rank: tf.Tensor, place: tf.Tensor, side: int
    ) -> tf.Tensor:
        """The least rank in reach on one side: as far as the longest piece; int32 [pairs]."""
        reach = side * tf.range(1, self._tables.longest_piece, dtype=tf.int64)
        index = place[:, tf.newaxis] + reach
        inside = tf.clip_by_value(index, 0, tf.size(rank, tf.int64) - 1)
        own_word = tf.gather(state.word, place)[:, tf.newaxis]
        counts = (index == inside) & (tf.gather(state.word, inside) == own_word)
        in_reach = tf.where(counts, tf.gather(rank, inside), NO_MERGE)
        return tf.reduce_min(in_reach, axis=1)

    def _look_up(self, table: PairTable, left: tf.Tensor, right: tf.Tensor) -> tf.Tensor:
        """Ranks of pairs of ids, `NO_MERGE` for those without one; int32 [pairs]."""
        key = tf.cast(left, tf.int64) * self._size + tf.cast(right, tf.int64)
        keys = tf.constant(table.keys)
        index = tf.searchsorted(keys, key)
        return tf.where(
            tf.gather(keys, index) == key, tf.gather(tf.constant(table.ranks), index), NO_MERGE
        )


def _next(rank: tf.Tensor, most_urgent: tf.Tensor, nth: tf.Tensor) -> tf.Tensor:
    """The pair of each word that the library would join next; bool [pieces]."""
    place = tf.range(tf.size(rank))
    could = (rank == most_urgent) & (rank != NO_MERGE)
    leftmost = tf.math.unsorted_segment_min(
        tf.where(could, place, tf.int32.max), nth, nth[-1] + 1
    )
    return place == tf.gather(leftmost, nth)


def _and_first(values: tf.Tensor, first: int | bool) -> tf.Tensor:
    return tf.concat([tf.constant([first], values.dtype), values], axis=0)


def _and_last(values: tf.Tensor, last: int | bool) -> tf.Tensor:
    return tf.concat([values, tf.constant([last], values.dtype)], axis=0)
