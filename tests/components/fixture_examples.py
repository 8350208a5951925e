"""Examples artifacts as CorpusExampleGen writes them, for the tests of this folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import tensorflow as tf
from tfx.types import artifact_utils
from tfx.types.standard_artifacts import Examples

_THINGS = ("file", "socket", "record", "table", "queue", "index", "page", "stream")
_ACTIONS = ("opens", "closes", "reads", "writes", "removes", "copies", "counts")

ROWS = [
    (
        f"This call {action} the {thing}, naïvely, for {number} €. >>> The {thing} must belong "
        "to the caller; errors are reported by name.",
        f"Call that {action} the {thing}.",
    )
    for number, action in enumerate(_ACTIONS)
    for thing in _THINGS
]
SPLITS = {"train": ROWS[:40], "eval": ROWS[40:]}


def make_examples(
    directory: Path,
    splits: Mapping[str, Sequence[tuple[str | bytes, str | bytes]]] = SPLITS,
    span: int = 0,
) -> Examples:
    """Write (document, summary) rows as gzipped TFRecords, two files a split."""
    artifact = Examples()
    artifact.uri = str(directory)
    artifact.split_names = artifact_utils.encode_split_names(list(splits))
    artifact.set_int_custom_property("span", span)
    for split, rows in splits.items():
        folder = directory / f"Split-{split}"
        folder.mkdir(parents=True)
        half = (len(rows) + 1) // 2
        for shard, part in enumerate((rows[:half], rows[half:])):
            path = str(folder / f"data_tfrecord-{shard:05d}-of-00002.gz")
            with tf.io.TFRecordWriter(path, "GZIP") as writer:
                for document, summary in part:
                    writer.write(_example(document=document, summary=summary))
    return artifact


def _example(**texts: str | bytes) -> bytes:
    features = {
        name: tf.train.Feature(
            bytes_list=tf.train.BytesList(
                value=[text if isinstance(text, bytes) else text.encode()]
            )
        )
        for name, text in texts.items()
    }
    example = tf.train.Example(features=tf.train.Features(feature=features))
    return bytes(example.SerializeToString())
