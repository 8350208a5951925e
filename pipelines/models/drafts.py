"""Drafts of the ids that a row writes next: what followed its last ids before.

Summaries copy from their document. Where a row's last ids stand in its input, or in what it has
written, what follows them there is what it likely writes next ("prompt lookup": Saxena 2023,
https://github.com/apoorvumang/prompt-lookup-decoding). A draft decides nothing: see
`pipelines.models.drafted_search`.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import tensorflow as tf

from pipelines.models.architecture import Architecture
from pipelines.models.next_id_rules import Written

_LONGEST_SUFFIX: Final = 3  # ids; longer ones find the same place nearly always
# After a single id, a draft is right too seldom to pay on text that does not copy.
_LIKELY_SUFFIX: Final = 2


class Draft(NamedTuple):
    """What rows write next, as far as it can be guessed.

    Attributes:
      ids: int32 ``[rows, count]``; any ids where nothing was found.
      likely: bool ``[rows]``, whether reading it is worth more than its cost.
    """

    ids: tf.Tensor
    likely: tf.Tensor


def draft_ids(
    packed: tf.Tensor,
    length: tf.Tensor,
    written: Written,
    count: int,
    architecture: Architecture,
) -> Draft:
    """Return what followed the longest suffix of what each row has written, at its first place.

    Suffixes have 3 to 1 ids. A row that has not begun is taken to begin as its input does.

    Args:
      packed: int32 ``[rows, width]``: prefix, ids and EOS of each row, padded.
      length: int32 ``[rows]``, ids of each row of ``packed``.
      written: by the same rows, whose position is int32 ``[rows]``.
      count: ids that are drafted.
      architecture: limits and special ids.
    """
    source = tf.concat([packed, written.ids], axis=1)
    width = tf.shape(packed)[1]
    place = tf.range(tf.shape(source)[1])
    end = (width + written.position)[:, tf.newaxis]  # of each row's last id
    # What is after an id must be known: behind the input's last one, and the last one written,
    # there is nothing.
    within = tf.where(place < width, place < length[:, tf.newaxis] - 1, place < end)
    # How many of the last ids stand here, one before the other.
    found = tf.zeros_like(source)
    for back in reversed(range(_LONGEST_SUFFIX)):
        last = tf.gather(source, tf.maximum(end - back, 0), axis=1, batch_dims=1)
        here = tf.cast((source == last) & (end - back >= width), tf.int32)
        # The longer suffix ends one place further on.
        found = here * (1 + tf.pad(found, [[0, 0], [1, 0]])[:, :-1])
    found *= tf.cast(within, tf.int32)
    best = tf.argmax(found, axis=1, output_type=tf.int32)
    begins = written.position <= architecture.forced_start
    after = tf.where(begins, len(architecture.prefix_ids), best + 1)
    after = after[:, tf.newaxis] + tf.range(count)
    return Draft(
        tf.gather(source, tf.minimum(after, place[-1]), axis=1, batch_dims=1),
        begins | (tf.reduce_max(found, axis=1) >= _LIKELY_SUFFIX),
    )
