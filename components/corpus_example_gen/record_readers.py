"""Reads Parquet and TFRecord files as rows, a batch or a record at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import IO, Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from components.corpus_example_gen.rows import BadRow, RawRow, excerpt

_BATCH_ROWS: Final = 512


def read_parquet(
    stream: IO[bytes], file: str, row_group: int, names: Sequence[str]
) -> Iterator[RawRow | BadRow]:
    """Yield the rows of one row group, reading only the named columns.

    Raises:
      pyarrow.ArrowException, OSError: the file is damaged.
    """
    parquet = pq.ParquetFile(stream)
    columns = parquet.schema_arrow.names
    wanted = [name for name in names if name in columns]
    row = sum(parquet.metadata.row_group(i).num_rows for i in range(row_group))
    # With no wanted column, every row is still a row that lacks its fields.
    if not wanted:
        there = dict.fromkeys(columns)
        for offset in range(parquet.metadata.row_group(row_group).num_rows):
            yield RawRow(file, row + offset + 1, there)
        return
    for batch in parquet.iter_batches(_BATCH_ROWS, row_groups=[row_group], columns=wanted):
        values = {
            name: _values(batch.column(position))
            for position, name in enumerate(batch.schema.names)
        }
        for offset in range(batch.num_rows):
            row += 1
            yield RawRow(file, row, {name: column[offset] for name, column in values.items()})


def _values(column: pa.Array) -> list[Any]:
    """Python values; text as bytes, because a writer may have put anything into it."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        column = column.cast(pa.large_binary())
    return list(column.to_pylist())


def parquet_row_groups(stream: IO[bytes]) -> int:
    """Return the number of row groups.

    Raises:
      pyarrow.ArrowException, OSError: the stream is not a Parquet file.
    """
    return int(pq.ParquetFile(stream).num_row_groups)


def read_tfrecord(path: str, file: str) -> Iterator[RawRow | BadRow]:
    """Yield one tf.Example for each record; ``.gz`` files are unpacked.

    Raises:
      tensorflow.errors.OpError: the file is damaged from the next record on.
    """
    import tensorflow as tf  # slow, and only this format needs it
    from google.protobuf.message import DecodeError

    compression = "GZIP" if path.endswith(".gz") else ""
    records = tf.data.TFRecordDataset(path, compression_type=compression)
    for row, record in enumerate(records.as_numpy_iterator(), start=1):
        try:
            example = tf.train.Example.FromString(record)
        except DecodeError as error:
            yield BadRow(file, row, "malformed tf.Example", str(error)[:300], excerpt(record))
            continue
        features = example.features.feature
        yield RawRow(file, row, {name: _feature_value(features[name]) for name in features})


def _feature_value(feature: Any) -> Any:
    """A single value as it is, none as None, more as a list."""
    kind = feature.WhichOneof("kind")
    values = list(getattr(feature, kind).value) if kind else []
    if not values:
        return None
    return values[0] if len(values) == 1 else values
