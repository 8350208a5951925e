"""A Unigram inside a TensorFlow graph. Import only where TensorFlow may be imported.

It uses only plain ops that every TensorFlow Serving has, and constants; every count equals that
of the `tokenizers` library (`tokenizer.unigram_viterbi` explains why TF Text's own op is not
used).
"""

from __future__ import annotations

import tensorflow as tf

from tokenizer.bpe_graph import row_of_each
from tokenizer.unigram_json import SPACE_MARK, UnigramRules
from tokenizer.unigram_normalization import Characters, neighbour, normalization, white_space
from tokenizer.unigram_viterbi import Viterbi

_MARK = ord(SPACE_MARK)
_BLANK = ord(" ")


class UnigramGraph:
    """The segmentation of text without added tokens; see `ModelGraph`."""

    def __init__(self, rules: UnigramRules) -> None:
        self._rules = rules
        self._normalization = normalization(rules.steps)
        self._viterbi = Viterbi(rules)

    def normalize(self, text: tf.Tensor) -> tf.Tensor:
        """Return normalised texts, string [n] → string [n]."""
        if not self._rules.steps:
            return text
        normalized = self._normalization(_characters(text))
        lengths = tf.math.unsorted_segment_sum(
            tf.ones_like(normalized.row), normalized.row, tf.size(text)
        )
        ragged = tf.RaggedTensor.from_row_lengths(normalized.values, lengths)
        return tf.strings.unicode_encode(ragged, "UTF-8")

    def segment(self, text: tf.Tensor) -> tf.RaggedTensor:
        """Return the ids of normalised texts, string [n] → int32 [n, None]."""
        words, row = self._words(_characters(text))
        different, which = tf.unique(words)
        characters = _characters(different)
        ids, word = self._viterbi.segment(characters.values, characters.row)
        count = tf.math.unsorted_segment_sum(tf.ones_like(word), word, tf.size(different))
        lengths = tf.gather(count, which)
        begin = tf.gather(tf.cumsum(count, exclusive=True), which)
        places = tf.ragged.range(begin, begin + lengths).values
        row_lengths = tf.math.unsorted_segment_sum(
            tf.cast(lengths, tf.int64), row, tf.size(text)
        )
        return tf.RaggedTensor.from_row_lengths(tf.gather(ids, places), row_lengths)

    def _words(self, text: Characters) -> tuple[tf.Tensor, tf.Tensor]:
        """What is segmented by itself, string [words], and which text each is of."""
        if self._rules.splits_white_space:
            space = white_space(text.values)
            first = neighbour(space, -1, True) | (neighbour(text.row, -1, -1) != text.row)
            first = tf.boolean_mask(first, ~space)
            text = text.where(~space)
        else:
            values = tf.where(text.values == _BLANK, _MARK, text.values)
            text = text._replace(values=values)
            first = neighbour(text.row, -1, -1) != text.row
        marked = text.values == _MARK
        missing = first & ~marked if self._rules.marks_words else tf.zeros_like(first)
        # A mark goes in front of what lacks one.
        length = 1 + tf.cast(missing, tf.int32)
        source = row_of_each(length)
        added = tf.gather(missing, source) & (neighbour(source, -1, -1) != source)
        values = tf.where(added, _MARK, tf.gather(text.values, source))
        row = tf.gather(text.row, source)
        begins = added | tf.gather((first & ~missing) | marked, source)
        starts = tf.where(begins)[:, 0]
        words = tf.strings.unicode_encode(
            tf.RaggedTensor.from_row_starts(values, starts), "UTF-8"
        )
        return words, tf.gather(row, starts)


def _characters(text: tf.Tensor) -> Characters:
    decoded = tf.strings.unicode_decode(text, "UTF-8", errors="replace")
    return Characters(decoded.values, row_of_each(decoded.row_lengths()))
