"""Turns transformed examples into batches for a seq2seq model.

An encoder row is prefix, document ids, EOS; a label row is summary ids, EOS, after the forced
BOS if the model has one; the decoder reads the labels shifted right, after its start id. What
does not fit is cut off at the end. Rows of similar length share a batch, so that little time is
spent on padding.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import tensorflow as tf

from pipelines.models.architecture import Architecture

_FEATURES = {
    "document_ids": tf.io.RaggedFeature(tf.int64, row_splits_dtype=tf.int64),
    "summary_ids": tf.io.RaggedFeature(tf.int64, row_splits_dtype=tf.int64),
}
_PARSED_TOGETHER = 512  # examples parsed by one op
_SHUFFLED = 100_000  # examples in the shuffle buffer; truncated ids, so tens of MB at most
MOST_LENGTHS: Final = 12  # of documents, and of labels: each pair's batch may be half full

Batch = dict[str, tf.Tensor]
Pair = tuple[tf.Tensor, tf.Tensor]

BATCH_SIGNATURE = {
    name: tf.TensorSpec([None, None], tf.int32)
    for name in (
        "encoder_token_ids",
        "encoder_padding_mask",
        "decoder_token_ids",
        "decoder_padding_mask",
        "labels",
    )
}


def training_batches(
    files: Sequence[str],
    architecture: Architecture,
    batch_size: int,
    seed: int,
    lead_steps: int = 0,
    lead_share: float = 0.0,
    min_overlap: float = 0.0,
    lengths: int = MOST_LENGTHS,
) -> tf.data.Dataset:
    """Yield shuffled batches endlessly, in an order that the seed determines.

    Args:
      files: GZIP TFRecords of transformed examples.
      architecture: limits and special ids.
      batch_size: rows of a batch.
      seed: of the order.
      lead_steps: over about this many batches, the share of rows whose labels are the
        document's own first ids falls linearly from 1 to ``lead_share``.
      lead_share: the share of such rows that remains until the end.
      min_overlap: minimum share of a summary's ids that must be among the document ids that are
        read; a row whose labels would be another summary is left out.
      lengths: maximum number of lengths that documents are padded to; the same for labels.

    Returns:
      Batches of ``encoder_token_ids``, ``encoder_padding_mask``, ``decoder_token_ids``,
      ``decoder_padding_mask`` and ``labels``, all int32 ``[batch_size, length]``. The
      ``decoder_padding_mask`` is 0 where there is no label.
    """
    pairs = _read(files, architecture).cache()
    # A seed for each epoch, so that a training that goes on finds the order it left.
    pairs = tf.data.Dataset.counter().flat_map(
        lambda epoch: pairs.shuffle(_SHUFFLED, seed + epoch, reshuffle_each_iteration=False)
    )
    lead_rows = lead_steps * batch_size
    lead_length = max(architecture.max_output_tokens - 1, 1)  # room for EOS

    def choose(index: tf.Tensor, pair: Pair) -> tuple[Pair, tf.Tensor]:
        document, summary = pair
        draw = tf.random.stateless_uniform([], tf.stack([tf.cast(seed, tf.int64), index]))
        left = 1.0 - tf.cast(index, tf.float32) / lead_rows if lead_rows else 0.0
        is_lead = draw < tf.maximum(left, lead_share)
        labels = tf.cond(is_lead, lambda: document[:lead_length], lambda: summary)
        return (document, labels), is_lead | _overlaps(document, summary, min_overlap)

    chosen = pairs.enumerate().map(choose, num_parallel_calls=1, deterministic=True)
    usable = chosen.filter(lambda _, keep: keep).map(lambda row, _: row)
    rows = _closed(usable, architecture)
    return _bucketed(rows, architecture, batch_size, lengths).prefetch(8)


def _overlaps(document: tf.Tensor, summary: tf.Tensor, least: float) -> tf.Tensor:
    """Whether at least that share of a summary's ids are among the document's."""
    if least <= 0:
        return tf.constant(True)
    found = tf.reduce_any(summary[:, tf.newaxis] == document[tf.newaxis, :], axis=1)
    # A summary without ids has a mean that is no number, and is left out.
    return tf.reduce_mean(tf.cast(found, tf.float32)) >= least


def validation_batches(
    files: Sequence[str], architecture: Architecture, batch_size: int, limit: int
) -> tf.data.Dataset:
    """Yield the first ``limit`` examples once, in their own order, with the same keys as
    above."""
    rows = _closed(_read(files, architecture), architecture).take(limit).cache()
    return _bucketed(rows, architecture, batch_size).cache().prefetch(2)


def _read(files: Sequence[str], architecture: Architecture) -> tf.data.Dataset:
    """Pairs of int32 document ids and summary ids of one example, cut to the limits."""

    def parse(serialized: tf.Tensor) -> tuple[tf.RaggedTensor, tf.RaggedTensor]:
        parsed = tf.io.parse_example(serialized, _FEATURES)
        documents = parsed["document_ids"][:, : architecture.max_input_tokens]
        summaries = parsed["summary_ids"][:, : architecture.max_output_tokens]
        return tf.cast(documents, tf.int32), tf.cast(summaries, tf.int32)

    # One reader: several at once would make the order depend on timing.
    records = tf.data.TFRecordDataset(list(files), compression_type="GZIP")
    parsed = records.batch(_PARSED_TOGETHER).map(parse, num_parallel_calls=1)
    return parsed.unbatch()


def _closed(pairs: tf.data.Dataset, architecture: Architecture) -> tf.data.Dataset:
    """Encoder rows and label rows: prefix in front, EOS at the end where there is room."""
    prefix = tf.constant(architecture.prefix_ids, tf.int32, [len(architecture.prefix_ids)])
    eos = tf.constant([architecture.eos_id])
    forced = [] if architecture.forced_bos_id is None else [architecture.forced_bos_id]
    bos = tf.constant(forced, tf.int32, [len(forced)])

    def close(document: tf.Tensor, summary: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        encoder = tf.concat([prefix, document, eos], axis=0)
        labels = tf.concat([bos, summary, eos], axis=0)[: architecture.label_length]
        return encoder, labels

    return pairs.map(close, num_parallel_calls=1)


def bucket_lengths(longest: int, narrowest: int, most: int = MOST_LENGTHS) -> list[int]:
    """Return the lengths that rows are padded to, in ascending order; the last is ``longest``.

    Args:
      longest: length of the longest possible row.
      narrowest: the smallest difference between two lengths that is worth a bucket.
      most: lengths at most.
    """
    width = max(narrowest, -(-longest // most))
    return [*range(width, longest, width), longest]


def _bucketed(
    rows: tf.data.Dataset,
    architecture: Architecture,
    batch_size: int,
    lengths: int = MOST_LENGTHS,
) -> tf.data.Dataset:
    encoder_lengths, label_lengths = (
        tf.constant(bucket_lengths(longest, narrowest, lengths), tf.int64)
        for longest, narrowest in (
            (architecture.encoder_length, 8),
            (architecture.label_length, 4),
        )
    )

    def key(encoder: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        i = tf.searchsorted(encoder_lengths, [tf.size(encoder, tf.int64)])[0]
        j = tf.searchsorted(label_lengths, [tf.size(labels, tf.int64)])[0]
        return tf.cast(i * label_lengths.shape[0] + j, tf.int64)

    def batch(key: tf.Tensor, group: tf.data.Dataset) -> tf.data.Dataset:
        lengths = (
            [encoder_lengths[key // label_lengths.shape[0]]],
            [label_lengths[key % label_lengths.shape[0]]],
        )
        # -1 is no id: it marks padding until the masks are made.
        return group.padded_batch(batch_size, lengths, padding_values=(-1, -1))

    def features(encoder: tf.Tensor, labels: tf.Tensor) -> Batch:
        pad = architecture.pad_id
        own_labels = tf.maximum(labels, 0)
        start = tf.fill([tf.shape(labels)[0], 1], architecture.decoder_start_id)
        return {
            "encoder_token_ids": tf.where(encoder < 0, pad, encoder),
            "encoder_padding_mask": tf.cast(encoder >= 0, tf.int32),
            "decoder_token_ids": tf.concat([start, own_labels[:, :-1]], axis=1),
            "decoder_padding_mask": tf.cast(labels >= 0, tf.int32),
            "labels": own_labels,
        }

    grouped = rows.group_by_window(key, batch, window_size=batch_size)
    return grouped.map(features, num_parallel_calls=1, deterministic=True)
