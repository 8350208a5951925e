"""Parquet and Arrow files as rows."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.corpus_example_gen.files import CorpusFile, choose_files, units_of
from components.corpus_example_gen.rows import BadRow, Pair, RawRow, check_row
from tests.components.read_rows import OPTIONS, reasons, rows_of


def test_parquet_is_read_by_row_groups_with_their_row_numbers(tmp_path: Path) -> None:
    path = tmp_path / "f.parquet"
    table = pa.table(
        {
            "document": pa.array([f"d{n}" for n in range(10)]).dictionary_encode(),
            "summary": pa.array(["s"] * 9 + [None]),
            "pages": pa.array(range(10)),
        }
    )
    pq.write_table(table, path, row_group_size=4)
    assert len(list(units_of(0, CorpusFile(str(path), "f", "parquet")))) == 3
    rows = rows_of(path, "parquet")
    assert [row.row for row in rows] == list(range(1, 11))
    assert rows[5].fields == {"document": b"d5", "summary": b"s"}
    assert rows[9].fields["summary"] is None


def test_parquet_text_that_is_not_utf8_refuses_its_row_only(tmp_path: Path) -> None:
    path = tmp_path / "f.parquet"
    raw = pa.array([b"good", b"\xff\xfe"], pa.binary())
    document = pa.Array.from_buffers(pa.string(), 2, raw.buffers())
    pq.write_table(pa.table({"document": document, "summary": ["s", "s"]}), path)
    rows = rows_of(path, "parquet")
    judged = [check_row(row, OPTIONS) for row in rows if isinstance(row, RawRow)]
    assert isinstance(judged[0], Pair)
    assert isinstance(judged[1], BadRow)
    assert judged[1].reason == "document is not UTF-8"


def test_parquet_without_the_columns_says_what_columns_there_are(tmp_path: Path) -> None:
    path = tmp_path / "f.parquet"
    pq.write_table(pa.table({"text": ["a", "b"], "title": ["c", "d"]}), path)
    rows = rows_of(path, "parquet")
    judged = [check_row(row, OPTIONS) for row in rows if isinstance(row, RawRow)]
    assert [row.detail for row in judged if isinstance(row, BadRow)] == [
        "no value for 'document'; fields: text, title"
    ] * 2


def test_folders_that_datasets_saves(tmp_path: Path) -> None:
    table = pa.Table.from_pylist([{"document": "d", "summary": "s", "other": 1}] * 3)
    for name, new in (("stream", pa.ipc.new_stream), ("file", pa.ipc.new_file)):
        path = tmp_path / f"{name}.arrow"
        with new(path, table.schema) as writer:
            writer.write_table(table, max_chunksize=2)
        rows = rows_of(path, "arrow")
        assert [row.row for row in rows if isinstance(row, RawRow)] == [1, 2, 3]
        assert rows[0].fields == {"document": b"d", "summary": b"s"}
        path.write_bytes(path.read_bytes()[:-400])
        assert reasons(rows_of(path, "arrow"))[-1][1] == "file is damaged"
    for name in ("dataset_dict.json", "train/dataset_info.json", "train/state.json"):
        assert choose_files([f"/c/{name}"], "/c", OPTIONS) == ([], [name])


@pytest.mark.parametrize("kind", ["parquet", "arrow"])
def test_a_value_that_python_has_no_room_for_rejects_its_row(tmp_path: Path, kind: str) -> None:
    days = pa.array([1, 2**31 - 1, 3], pa.int32()).cast(pa.date32())
    table = pa.table({"document": ["a", "b", "c"], "summary": ["s"] * 3, "id": days})
    path = tmp_path / f"pairs.{kind}"
    if kind == "parquet":
        pq.write_table(table, path)
    else:
        with pa.ipc.new_stream(path, table.schema) as writer:
            writer.write_table(table)
    rows = rows_of(path, kind)
    assert reasons(rows) == [(2, "value cannot be read")]
