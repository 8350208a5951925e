"""Byte-level BPE inside a TensorFlow graph. Import only where TensorFlow may be imported.

It uses only plain ops that every TensorFlow Serving has, and constants: no hash table, so there
is nothing to initialise and the graph can be traced anywhere, including in Transform.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tokenizer.bpe_merging import Merging
from tokenizer.bpe_tables import merge_tables
from tokenizer.bpe_vocabulary import Bpe, byte_characters
from tokenizer.bpe_words import word_starts
from tokenizer.word_table import WordTable


class _Words(NamedTuple):
    """The ids of some words.

    Attributes:
      ids: int32 [ids], the words one behind the other.
      starts: int32 [words], where each begins in them.
      lengths: int32 [words], how many each has.
    """

    ids: tf.Tensor
    starts: tf.Tensor
    lengths: tf.Tensor


class BytePairGraph(tf.Module):
    """A byte-level BPE as TensorFlow ops; see `GraphTokenizer`.

    Each distinct word of a batch is encoded once. Most words of real text are pieces themselves
    and are looked up; the others are merged byte by byte (`Merging`).
    """

    def __init__(self, bpe: Bpe, whole_words: Mapping[bytes, int]):
        """Prepare the tables for the graph.

        Args:
          bpe: the vocabulary.
          whole_words: ids of words that consist of a single piece, by their UTF-8.
        """
        super().__init__(name="byte_level_bpe")
        self._size = len(bpe.ids)
        self._byte_ids = np.array([bpe.ids[c] for c in byte_characters()], np.int32)
        self._piece_bytes = np.array(bpe.piece_bytes, object)
        self._merging = Merging(merge_tables(bpe), self._size)
        self._whole_words = WordTable(whole_words)

    def tokenize(self, text: tf.Tensor) -> tf.RaggedTensor:
        """Ids of texts, string [batch] → int32 [batch, None]; see `GraphTokenizer`."""
        text = tf.ensure_shape(text, [None])
        # As Python's "replace" does it: one U+FFFD for each maximal ill-formed part.
        characters = tf.strings.unicode_decode(text, "UTF-8", errors="replace")
        row = row_of_each(characters.row_lengths())
        starts = tf.where(word_starts(characters.values, row))[:, 0]
        words = tf.strings.unicode_encode(
            tf.RaggedTensor.from_row_starts(characters.values, starts), "UTF-8"
        )
        different, which = tf.unique(words)
        encoded = self._encode(different)
        lengths = tf.gather(encoded.lengths, which)
        begin = tf.gather(encoded.starts, which)
        places = tf.ragged.range(begin, begin + lengths).values
        row_lengths = tf.math.unsorted_segment_sum(
            tf.cast(lengths, tf.int64), tf.gather(row, starts), tf.size(text)
        )
        return tf.RaggedTensor.from_row_lengths(tf.gather(encoded.ids, places), row_lengths)

    def normalize(self, text: tf.Tensor) -> tf.Tensor:
        """Return the texts unchanged: a byte-level BPE does not normalise."""
        return text

    def segment(self, text: tf.Tensor) -> tf.RaggedTensor:
        """Ids of texts, as `tokenize` gives them; beside `normalize`, for added tokens."""
        return self.tokenize(text)

    def detokenize(self, ids: tf.RaggedTensor) -> tf.Tensor:
        """Texts of ids, int32 [batch, None] → string [batch]; see `GraphTokenizer`."""
        flat = tf.cast(ids.values, tf.int32)
        inside = (flat >= 0) & (flat < self._size)
        message = f"an id is outside the vocabulary. Expected: 0 to {self._size - 1}"
        with tf.control_dependencies([tf.debugging.Assert(tf.reduce_all(inside), [message])]):
            pieces = tf.gather(tf.constant(self._piece_bytes), flat)
        row = row_of_each(ids.row_lengths())
        joined = tf.strings.unsorted_segment_join(pieces, row, ids.nrows())
        return tf.strings.unicode_transcode(joined, "UTF-8", "UTF-8", errors="replace")

    def _encode(self, words: tf.Tensor) -> _Words:
        """Ids of words, string [words]."""
        whole = self._whole_words.find(words)
        rest = tf.boolean_mask(words, whole < 0)
        lengths = tf.strings.length(rest, "BYTE")
        data = tf.io.decode_raw(tf.strings.reduce_join(rest), tf.uint8)
        word = row_of_each(lengths)
        joined = self._merging.join(
            tf.gather(tf.constant(self._byte_ids), tf.cast(data, tf.int32)), word
        )
        made = joined >= 0
        pieces = tf.math.unsorted_segment_sum(tf.cast(made, tf.int32), word, tf.size(rest))
        count = tf.tensor_scatter_nd_update(tf.ones_like(whole), tf.where(whole < 0), pieces)
        # Whole words stand in front, one id each, then the ids of the others.
        starts = tf.tensor_scatter_nd_update(
            tf.range(tf.size(words)),
            tf.where(whole < 0),
            tf.size(words) + tf.cumsum(pieces, exclusive=True),
        )
        return _Words(tf.concat([whole, tf.boolean_mask(joined, made)], axis=0), starts, count)


def row_of_each(lengths: tf.Tensor) -> tf.Tensor:
    """Return the row of each value of a ragged tensor; int32 [values].

    `tf.repeat` would do, but takes memory for (rows * longest row).

    Args:
      lengths: int32 or int64 [rows].
    """
    starts = tf.cumsum(lengths, exclusive=True)
    values = tf.reduce_sum(lengths)
    begun = tf.math.unsorted_segment_sum(tf.ones_like(starts, tf.int32), starts, values + 1)
    return tf.cumsum(begun[:-1]) - 1
