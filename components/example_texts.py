"""Reads texts from Examples artifacts, in the same order each time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

import tensorflow as tf
from tfx import types
from tfx.dsl.io import fileio
from tfx.types import artifact_utils


class ExampleError(ValueError):
    """The Examples lack a split, a file or a feature. Never worth a retry."""


def example_texts(
    examples: Sequence[types.Artifact], split: str, features: Sequence[str]
) -> Iterator[tuple[str, ...]]:
    """Texts of every example of a split.

    Args:
      examples: Examples artifacts: gzipped TFRecords of `tf.Example`.
      split: for example `train`.
      features: names of bytes features with one value each.

    Yields:
      one text for each feature, in the order of `features`; files in the order of their names.

    Raises:
      ExampleError: the split or a feature is missing, or a text is not UTF-8.
    """
    for artifact in examples:
        splits = artifact_utils.decode_split_names(artifact.split_names)
        if split not in splits:
            raise ExampleError(
                f"the examples in {artifact.uri} have no split '{split}'. Expected: examples "
                f"of CorpusExampleGen. Received the splits: {', '.join(splits) or 'none'}"
            )
        for uri in artifact_utils.get_split_uris([artifact], split):
            files = sorted(fileio.glob(str(PurePosixPath(uri) / "*")))
            if not files:
                raise ExampleError(f"the split '{split}' has no files in {uri}")
            # One file after the other: a vocabulary depends on the order.
            records = tf.data.TFRecordDataset(files, compression_type="GZIP")
            for record in records.as_numpy_iterator():
                example = tf.train.Example.FromString(record)
                yield tuple(_text(example, name, uri) for name in features)


def _text(example: tf.train.Example, name: str, uri: str) -> str:
    features = example.features.feature
    values: Sequence[bytes] = features[name].bytes_list.value if name in features else []
    if len(values) != 1:
        raise ExampleError(
            f"an example in {uri} must have one value of the bytes feature '{name}'. "
            f"Received: {len(values)}, among the features {', '.join(sorted(features))}"
        )
    try:
        return values[0].decode("utf-8")
    except UnicodeDecodeError as error:
        raise ExampleError(f"'{name}' of an example in {uri} is not UTF-8: {error}") from None
