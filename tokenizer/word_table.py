"""A table of words in a TensorFlow graph. Import only where TensorFlow may be imported."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
import tensorflow as tf

_BUCKETS: Final = 2**62  # of the hash that words are looked up by


class WordTable:
    """Ids of whole words, made only of constants: there is no hash table to initialise."""

    def __init__(self, ids: Mapping[bytes, int]):
        """Prepare a table for the graph.

        Args:
          ids: non-negative ids, by word.
        """
        with tf.init_scope():
            words = tf.constant(list(ids), tf.string)
            hashes = tf.strings.to_hash_bucket_fast(words, _BUCKETS).numpy()
        order = np.argsort(hashes)
        # A last row that is no word's, so that a search never runs off the end.
        self._hashes = np.append(hashes[order], np.int64(_BUCKETS))
        self._ids = np.append(np.array(list(ids.values()), np.int32)[order], np.int32(-1))
        self._words = np.append(np.array(list(ids), object)[order], b"")

    def find(self, words: tf.Tensor) -> tf.Tensor:
        """Return the ids of words, -1 for unknown ones; string [n] → int32 [n]."""
        own = tf.strings.to_hash_bucket_fast(words, _BUCKETS)
        hashes = tf.constant(self._hashes)
        index = tf.searchsorted(hashes, own)
        # The word itself decides: any text may have the hash of another.
        same = tf.gather(tf.constant(self._words, tf.string), index) == words
        found = (tf.gather(hashes, index) == own) & same
        return tf.where(found, tf.gather(tf.constant(self._ids), index), -1)
