"""The Beam part of reading: turns files into tf.Examples, and writes unusable rows to reject
files."""

from __future__ import annotations

import json
from collections.abc import Iterator

import apache_beam as beam
import tensorflow as tf
from tfx.dsl.io import fileio

from components.corpus_example_gen.files import CorpusFile, ReadUnit, read_unit, units_of
from components.corpus_example_gen.options import CorpusOptions
from components.corpus_example_gen.rows import BadRow, Pair, RawRow, check_row


class ReadCorpus(beam.PTransform):
    """Pipeline → PCollection of tf.train.Example with ``document``, ``summary``, ``id``
    and ``source``, each one bytes value.

    Rejected rows are written to ``rejects_dir``, one file for each unit of reading that has
    any. A unit that is read again writes the same file again.
    """

    def __init__(self, files: list[CorpusFile], options: CorpusOptions, rejects_prefix: str):
        super().__init__()
        self._files = files
        self._options = options
        self._rejects_prefix = rejects_prefix

    def expand(self, pipeline: beam.Pipeline) -> beam.PCollection:
        return (
            pipeline
            | "Files" >> beam.Create(list(enumerate(self._files)), reshuffle=False)
            | "Units" >> beam.FlatMapTuple(units_of)
            # A grouping between two steps lets workers share the units. (Beam's Reshuffle
            # does it with random keys, which would make the order of a local run random.)
            | "KeyByUnit" >> beam.Map(lambda unit: (f"{unit.index}/{unit.row_group}", unit))
            | "Share" >> beam.GroupByKey()
            | "Unit" >> beam.FlatMapTuple(lambda _, units: units)
            | "Read" >> beam.ParDo(_ReadUnit(self._options, self._rejects_prefix))
        )


class _ReadUnit(beam.DoFn):
    def __init__(self, options: CorpusOptions, rejects_prefix: str):
        super().__init__()
        self._options = options
        self._rejects_prefix = rejects_prefix

    def process(self, unit: ReadUnit) -> Iterator[tf.train.Example]:
        rejects = None
        try:
            for raw in read_unit(unit, self._options):
                row = check_row(raw, self._options) if isinstance(raw, RawRow) else raw
                if isinstance(row, Pair):
                    yield to_example(row)
                    continue
                if rejects is None:
                    rejects = fileio.open(self._rejects_path(unit), "wb")
                rejects.write(_json_line(row))
        finally:
            if rejects is not None:
                rejects.close()

    def _rejects_path(self, unit: ReadUnit) -> str:
        # Digits, so that the order of names is the order of files and of their rows.
        return f"{self._rejects_prefix}{unit.index:08d}-{unit.row_group:08d}.jsonl"


def _json_line(row: BadRow) -> bytes:
    return json.dumps(row.to_dict(), ensure_ascii=False).encode("utf-8", "replace") + b"\n"


def to_example(pair: Pair) -> tf.train.Example:
    """Return a pair as a tf.Example with four bytes features."""

    def feature(value: bytes) -> tf.train.Feature:
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))

    return tf.train.Example(
        features=tf.train.Features(
            feature={
                "document": feature(pair.document),
                "summary": feature(pair.summary),
                "id": feature(pair.id),
                "source": feature(pair.source),
            }
        )
    )
