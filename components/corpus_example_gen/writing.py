"""The Beam part of writing a split: shuffled the same way every time, and counted."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence

import apache_beam as beam
import tensorflow as tf
from tfx.components.example_gen import write_split
from tfx.dsl.io import fileio

# A group is sorted in memory: a corpus of 10 million rows has 10,000 of them in each.
_GROUPS = 1024
_SHARED = ""  # no split's name


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


class WriteRepeats(beam.PTransform):
    """PCollections of tf.Example, one for each split → a file that counts repeated documents.

    The file holds a JSON object: ``repeated``, by split, the rows whose document an earlier
    row of the split has; ``shared``, the documents that more than one split has.
    """

    def __init__(self, names: Sequence[str], path: str):
        super().__init__()
        self._names = list(names)
        self._path = path

    def expand(self, splits: tuple[beam.PCollection, ...]) -> beam.PCollection:
        keyed = [
            split | f"Key[{name}]" >> beam.Map(_document_key, name)
            for name, split in zip(self._names, splits, strict=True)
        ]
        return (
            keyed
            | "Flatten" >> beam.Flatten()
            | "CountEach" >> beam.combiners.Count.PerElement()
            | "ByDocument" >> beam.Map(lambda each: (each[0][0], (each[0][1], each[1])))
            | "Group" >> beam.GroupByKey()
            | "Repeats" >> beam.FlatMapTuple(_repeats)
            | "Sum" >> beam.CombinePerKey(sum)
            | "Together" >> beam.combiners.ToDict()
            | "WriteRepeats" >> beam.Map(_write_repeats, self._names, self._path)
        )


def _document_key(example: tf.train.Example, split: str) -> tuple[bytes, str]:
    (document,) = example.features.feature["document"].bytes_list.value
    return hashlib.sha256(document).digest(), split


def _repeats(_: bytes, rows: Iterable[tuple[str, int]]) -> Iterator[tuple[str, int]]:
    """Pairs of a split and how many of its rows repeat; of ``_SHARED`` and 1."""
    of_split = list(rows)
    for split, count in of_split:
        if count > 1:
            yield split, count - 1
    if len(of_split) > 1:
        yield _SHARED, 1


def _write_repeats(found: Mapping[str, int], names: Sequence[str], path: str) -> None:
    repeated = {name: found.get(name, 0) for name in names}
    with fileio.open(path, "w") as stream:
        stream.write(json.dumps({"repeated": repeated, "shared": found.get(_SHARED, 0)}))


def _keyed(example: tf.train.Example) -> tuple[int, tuple[bytes, bytes]]:
    content = example.SerializeToString(deterministic=True)
    digest = hashlib.sha256(content).digest()
    return int.from_bytes(digest[:4], "big") % _GROUPS, (digest, content)


def _sorted(_: int, members: Iterable[tuple[bytes, bytes]]) -> Iterable[bytes]:
    return (content for _, content in sorted(members))


def _write_number(number: int, path: str) -> None:
    with fileio.open(path, "w") as stream:
        stream.write(str(number))
