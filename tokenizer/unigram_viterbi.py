"""The most likely segmentation of words as TensorFlow ops, as the `tokenizers` library finds
it.

Import only where TensorFlow may be imported.

TF Text's SentencePiece adds scores as 32-bit floats, the library as 64-bit ones: they break
ties between equally likely segmentations differently, for three per cent of hard texts. So the
sums are computed here as in the library: one word after another in its order, from left to
right, and of equal sums the one whose last piece is the longest. All words of a batch advance
together, a character at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
import tensorflow as tf

from tokenizer.bpe_graph import row_of_each
from tokenizer.unigram_json import UnigramRules
from tokenizer.unigram_normalization import neighbour

_UNKNOWN_PENALTY: Final = 10.0
_CODE_POINTS: Final = 2**21


class _Columns(NamedTuple):
    """Words in the order of their characters: all first ones, all second ones and so on.

    Longer words come first, so that a column is a piece of memory.

    Attributes:
      place: int32 [characters], where each character of this order is in the words.
      starts: int32 [columns + 1], where each column begins.
      lengths: int32 [words], of the words, falling.
      order: int32 [words], which word has each length.
    """

    place: tf.Tensor
    starts: tf.Tensor
    lengths: tf.Tensor
    order: tf.Tensor


class Viterbi:
    """Segments words into the pieces of a Unigram."""

    def __init__(self, rules: UnigramRules) -> None:
        self._trie = _Trie(rules)
        self._unk_id = rules.unk_id
        self._unknown = np.float64(min(rules.scores) - _UNKNOWN_PENALTY)
        self._scores = np.array(rules.scores, np.float64)

    def segment(self, characters: tf.Tensor, word: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the ids of words.

        Args:
          characters: int32 [characters], code points, the words one behind the other.
          word: int32 [characters], which word each is of; ascending, none left out.

        Returns:
          int32 [ids], the words one behind the other, and which word each is of.
        """
        columns = _columns(word)
        pieces, scores = self._pieces_ending(characters, word)
        ordered = tf.gather(scores, columns.place)
        chosen = self._best_lengths(ordered, columns)
        ends = self._path(chosen, columns)
        length = tf.scatter_nd(
            columns.place[:, tf.newaxis], chosen, tf.shape(columns.place, tf.int32)
        )
        on_path = tf.scatter_nd(
            tf.gather(columns.place, ends)[:, tf.newaxis],
            tf.ones_like(ends),
            tf.shape(columns.place, tf.int32),
        )
        at = tf.where(on_path > 0)[:, 0]
        rows = tf.stack([tf.cast(tf.gather(length, at) - 1, tf.int64), at], axis=1)
        ids = tf.gather_nd(pieces, rows)
        ids = tf.where(ids < 0, self._unk_id, ids)
        own_word = tf.gather(word, at)
        # Unknown characters in a row are one id.
        again = (ids == self._unk_id) & (neighbour(ids, -1, -1) == self._unk_id)
        again &= neighbour(own_word, -1, -1) == own_word
        return tf.boolean_mask(ids, ~again), tf.boolean_mask(own_word, ~again)

    def _pieces_ending(
        self, characters: tf.Tensor, word: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """The pieces that end at each character, by their length.

        Returns:
          int32 [longest, characters], ids of pieces of one character, of two and so on, -1
          where there is none; and float64 [characters, longest], what they score, the longest
          first, -inf where there is none.
        """
        next_state, ids_of = self._trie.next_state(), tf.constant(self._trie.ids)
        scores_of = tf.constant(self._scores)
        longest = self._trie.longest
        # How many characters of its word stand before each.
        count = tf.math.unsorted_segment_sum(tf.ones_like(word), word, tf.size(word))
        before = tf.range(tf.size(word)) - tf.gather(tf.cumsum(count, exclusive=True), word)

        def step(
            length: tf.Tensor, state: tf.Tensor, ids: tf.TensorArray, scores: tf.TensorArray
        ) -> tuple[tf.Tensor, tf.Tensor, tf.TensorArray, tf.TensorArray]:
            state = next_state(tf.where(before >= length - 1, state, -1), characters)
            piece = tf.where(state >= 0, tf.gather(ids_of, tf.maximum(state, 0)), -1)
            none = tf.where(length == 1, self._unknown, np.float64(-np.inf))
            score = tf.where(piece >= 0, tf.gather(scores_of, tf.maximum(piece, 0)), none)
            return (
                length + 1,
                neighbour(state, -1, -1),
                ids.write(length - 1, piece),
                scores.write(longest - length, score),
            )

        shape = tf.TensorShape([None])
        _, _, ids, scores = tf.while_loop(
            lambda length, *_: length <= longest,
            step,
            (
                tf.constant(1),
                tf.zeros_like(characters),
                tf.TensorArray(tf.int32, longest, element_shape=shape),
                tf.TensorArray(tf.float64, longest, element_shape=shape),
            ),
            shape_invariants=(
                tf.TensorShape([]),
                shape,
                tf.TensorShape(None),
                tf.TensorShape(None),
            ),
            parallel_iterations=1,
        )
        return ids.stack(), tf.transpose(scores.stack())

    def _best_lengths(self, scores: tf.Tensor, columns: _Columns) -> tf.Tensor:
        """The length of the last piece of the best segmentation up to each character.

        Args:
          scores: float64 [characters, longest], in the order of columns.

        Returns:
          int32 [characters], in the order of columns.
        """
        longest = self._trie.longest
        count = tf.size(columns.starts) - 1

        def step(
            column: tf.Tensor, best: tf.Tensor, written: tf.TensorArray
        ) -> tuple[tf.Tensor, tf.Tensor, tf.TensorArray]:
            start, end = columns.starts[column], columns.starts[column + 1]
            # `best` is of the characters before, the furthest first, of words that go on.
            totals = best[: end - start] + scores[start:end]
            chosen = tf.argmax(totals, axis=1, output_type=tf.int32)
            value = tf.reduce_max(totals, axis=1, keepdims=True)
            best = tf.concat([best[: end - start, 1:], value], axis=1)
            best = tf.ensure_shape(best, [None, longest])
            return column + 1, best, written.write(column, longest - chosen)

        first = tf.constant([[-np.inf] * (longest - 1) + [0.0]], tf.float64)
        lengths = tf.TensorArray(tf.int32, size=count, infer_shape=False, element_shape=[None])
        _, _, written = tf.while_loop(
            lambda column, *_: column < count,
            step,
            (tf.constant(0), tf.tile(first, [tf.size(columns.lengths), 1]), lengths),
            shape_invariants=(
                tf.TensorShape([]),
                tf.TensorShape([None, longest]),
                tf.TensorShape(None),
            ),
            parallel_iterations=1,
        )
        return tf.cond(count > 0, written.concat, lambda: tf.zeros([0], tf.int32))

    def _path(self, lengths: tf.Tensor, columns: _Columns) -> tf.Tensor:
        """Where the pieces of the best segmentations end, in the order of columns."""
        size = tf.size(lengths)

        def step(
            column: tf.Tensor, rank: tf.Tensor, number: tf.Tensor, written: tf.TensorArray
        ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.TensorArray]:
            at = tf.gather(columns.starts, column) + rank
            column -= tf.gather(lengths, at)
            going = column >= 0
            written = written.write(number, at)
            return (
                tf.boolean_mask(column, going),
                tf.boolean_mask(rank, going),
                number + 1,
                written,
            )

        ends = tf.TensorArray(
            tf.int32, size=0, dynamic_size=True, infer_shape=False, element_shape=[None]
        )
        vector = tf.TensorShape([None])
        _, _, _, written = tf.while_loop(
            lambda column, *_: tf.size(column) > 0,
            step,
            (
                columns.lengths - 1,
                tf.range(tf.size(columns.lengths)),
                tf.constant(0),
                ends,
            ),
            shape_invariants=(vector, vector, tf.TensorShape([]), tf.TensorShape(None)),
            parallel_iterations=1,
        )
        return tf.cond(size > 0, written.concat, lambda: tf.zeros([0], tf.int32))


def _columns(word: tf.Tensor) -> _Columns:
    total = tf.size(word)
    words = tf.reduce_max(tf.concat([word, [-1]], axis=0)) + 1
    lengths = tf.math.unsorted_segment_sum(tf.ones_like(word), word, words)
    begin = tf.cumsum(lengths, exclusive=True)
    order = tf.argsort(lengths, direction="DESCENDING", stable=True)
    falling = tf.gather(lengths, order)
    longest = tf.reduce_max(tf.concat([lengths, [0]], axis=0))
    # Words that are longer than n, for each n.
    shorter = tf.math.unsorted_segment_sum(tf.ones_like(lengths), lengths, longest + 1)
    in_column = words - tf.cumsum(shorter)[:-1]
    starts = tf.cumsum(tf.concat([[0], in_column], axis=0))
    column = row_of_each(in_column)
    rank = tf.range(total) - tf.gather(starts, column)
    place = tf.gather(begin, tf.gather(order, rank)) + column
    return _Columns(place, starts, falling, order)


class _Trie:
    """The pieces by their characters; states are numbered from the root, which is 0.

    Attributes:
      ids: int32 [states], the piece that ends at a state, -1 where none does.
      longest: characters of the longest piece.
    """

    def __init__(self, rules: UnigramRules) -> None:
        transitions: dict[int, int] = {}
        ids = [-1]
        for value, piece in enumerate(rules.pieces):
            state = 0
            if not piece or value == rules.unk_id or piece[0] == " ":
                continue  # special ones, which no word has
            for character in piece:
                key = state * _CODE_POINTS + ord(character)
                if key not in transitions:
                    transitions[key] = len(ids)
                    ids.append(-1)
                state = transitions[key]
            ids[state] = value
        keys = sorted(transitions)
        self._keys = np.array([*keys, 2**63 - 1], np.int64)
        self._states = np.array([*(transitions[key] for key in keys), -1], np.int32)
        self.ids = np.array(ids, np.int32)
        self.longest = max(
            len(piece)
            for value, piece in enumerate(rules.pieces)
            if piece[:1] != " " and value != rules.unk_id
        )

    def next_state(self) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
        """A function of states and one more character each: the states behind it.

        -1 where there is none, or was none before. The tables are one constant of the graph
        that it is asked for in.
        """
        keys, states = tf.constant(self._keys), tf.constant(self._states)

        def following(state: tf.Tensor, characters: tf.Tensor) -> tf.Tensor:
            known = tf.cast(tf.maximum(state, 0), tf.int64)
            own = known * _CODE_POINTS + tf.cast(characters, tf.int64)
            index = tf.searchsorted(keys, own)
            found = (tf.gather(keys, index) == own) & (state >= 0)
            return tf.where(found, tf.gather(states, index), -1)

        return following
