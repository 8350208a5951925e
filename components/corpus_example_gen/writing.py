"""The Beam part of writing a split: shuffled the same way every time, and counted."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import apache_beam as beam
import tensorflow as tf
from tfx.components.example_gen import write_split
from tfx.dsl.io import fileio

# A group is sorted in memory: a corpus of 10 million rows has 10,000 of them in each.
_GROUPS = 1024


class WriteExamples(beam.PTransform):
    """PCollection of tf.Example → ``data_tfrecord-*.gz`` in a split's folder.

    TFX's own writer shuffles with random keys. Here the keys are hashes of the examples,
    so that with the in-process runner the same corpus gives the same files, byte for byte,
    and what follows (vocabulary, order of training) is reproducible.
    """

    def __init__(self, split_uri: str):
        super().__init__()
        self._prefix = f"{split_uri}/{write_split.DEFAULT_FILE_NAME}"

    def expand(self, examples: beam.PCollection) -> beam.PCollection:
        return (
            examples
            | "KeyByHash" >> beam.Map(_keyed)
            | "Group" >> beam.GroupByKey()
            | "Sort" >> beam.FlatMapTuple(_sorted)
            | "Write" >> beam.io.WriteToTFRecord(self._prefix, file_name_suffix=".gz")
        )


class WriteCount(beam.PTransform):
    """PCollection → its number of elements, as digits in a file."""

    def __init__(self, path: str):
        super().__init__()
        self._path = path

    def expand(self, elements: beam.PCollection) -> beam.PCollection:
        return (
            elements
            | "Count" >> beam.combiners.Count.Globally()
            | "WriteNumber" >> beam.Map(_write_number, self._path)
        )


def _keyed(example: tf.train.Example) -> tuple[int, tuple[bytes, bytes]]:
    content = example.SerializeToString(deterministic=True)
    digest = hashlib.sha256(content).digest()
    return int.from_bytes(digest[:4], "big") % _GROUPS, (digest, content)


def _sorted(_: int, members: Iterable[tuple[bytes, bytes]]) -> Iterable[bytes]:
    return (content for _, content in sorted(members))


def _write_number(number: int, path: str) -> None:
    with fileio.open(path, "w") as stream:
        stream.write(str(number))
