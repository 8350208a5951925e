"""Parquet, Arrow and TFRecord files as rows, a batch or a record at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import IO, Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from components.corpus_example_gen.rows import BadRow, RawRow, excerpt

_BATCH_ROWS: Final = 512
_ARROW_FILE: Final = b"ARROW1"


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
        yield from _rows_of(batch, file, row)
        row += batch.num_rows


def read_arrow(stream: IO[bytes], file: str, names: Sequence[str]) -> Iterator[RawRow | BadRow]:
    """Rows of an Arrow IPC stream, as `datasets` saves it, or of an Arrow IPC file.

    Raises:
      pyarrow.ArrowException, OSError: the file is damaged.
    """
    row = 0
    for batch in _arrow_batches(stream):
        there = batch.schema.names
        wanted = batch.select([name for name in names if name in there])
        # With no wanted column, every row is still a row that lacks its fields.
        yield from _rows_of(wanted if wanted.num_columns else batch, file, row)
        row += batch.num_rows


def _arrow_batches(stream: IO[bytes]) -> Iterator[pa.RecordBatch]:
    is_file = stream.read(len(_ARROW_FILE)) == _ARROW_FILE
    stream.seek(0)
    if not is_file:
        yield from pa.ipc.open_stream(stream)
        return
    reader = pa.ipc.open_file(stream)
    for index in range(reader.num_record_batches):
        yield reader.get_batch(index)


def _rows_of(batch: pa.RecordBatch, file: str, before: int) -> Iterator[RawRow | BadRow]:
    """Rows of a batch, numbered from ``before + 1``."""
    columns = {name: _values(batch.column(i)) for i, name in enumerate(batch.schema.names)}
    for offset in range(batch.num_rows):
        row = before + offset + 1
        fields = {name: column[offset] for name, column in columns.items()}
        unreadable = {k: v for k, v in fields.items() if isinstance(v, _Unreadable)}
        if unreadable:
            name, value = next(iter(unreadable.items()))
            yield BadRow(file, row, "value cannot be read", f"{name!r}: {value.why}"[:300], "")
        else:
            yield RawRow(file, row, fields)


@dataclass(frozen=True, slots=True)
class _Unreadable:
    """In place of a value that Python has no room for, such as a day in the year 300,000."""

    why: str


def _values(column: pa.Array) -> list[Any]:
    """Python values; text as bytes, because a writer may have put anything into it."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        column = column.cast(pa.large_binary())
    try:
        return list(column.to_pylist())
    except (ValueError, OverflowError, pa.ArrowException):
        return [_value(scalar) for scalar in column]


def _value(scalar: pa.Scalar) -> Any:
    try:
        return scalar.as_py()
    except (ValueError, OverflowError, pa.ArrowException) as error:
        return _Unreadable(str(error))


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

    compression = "GZIP" if path.lower().endswith(".gz") else ""
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
