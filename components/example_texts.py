"""Reads texts from Examples artifacts, in the same order each time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

from tfx import types
from tfx.dsl.io import fileio
from tfx.types import artifact_utils

from components.example_records import ExampleError, texts_in_files


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
            yield from texts_in_files(files, features)
