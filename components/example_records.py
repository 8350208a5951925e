"""Reads texts out of files of tf.Examples, in the order that they are given. No TFX in here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import tensorflow as tf


class ExampleError(ValueError):
    """Examples that lack a split, a file or a feature. Never worth a retry."""


def texts_in_files(files: Sequence[str], features: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Texts of every example in gzipped TFRecord files.

    Args:
      features: names of bytes features with one value each.

    Yields:
      one text a feature, in the order of `features`.

    Raises:
      ExampleError: a feature is missing, or a text is not UTF-8.
    """
    for file in files:
        # One file after the other: a vocabulary depends on the order.
        for record in tf.data.TFRecordDataset(
            file, compression_type="GZIP"
        ).as_numpy_iterator():
            example = tf.train.Example.FromString(record)
            yield tuple(_text(example, name, file) for name in features)


def _text(example: tf.train.Example, name: str, file: str) -> str:
    features = example.features.feature
    values: Sequence[bytes] = features[name].bytes_list.value if name in features else []
    if len(values) != 1:
        raise ExampleError(
            f"an example in {file} must have one value of the bytes feature '{name}'. "
            f"Received: {len(values)}, among the features {', '.join(sorted(features))}"
        )
    try:
        return values[0].decode("utf-8")
    except UnicodeDecodeError as error:
        raise ExampleError(f"'{name}' of an example in {file} is not UTF-8: {error}") from None
