"""Files as rows: text readers, record readers and the judgement of a row, without TFX."""

from __future__ import annotations

import csv
import gzip
import io
import json
import random
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.corpus_example_gen.files import CorpusFile, choose_files, read_unit, units_of
from components.corpus_example_gen.options import CorpusInputError, CorpusOptions
from components.corpus_example_gen.rows import BadRow, Pair, RawRow, check_row
from components.corpus_example_gen.text_readers import bounded_lines, read_csv, read_jsonl

OPTIONS = CorpusOptions(max_document_bytes=40, max_summary_bytes=20)


def rows_of(path: Path, kind: str) -> list[RawRow | BadRow]:
    file = CorpusFile(str(path), path.name, kind)
    return [row for unit in units_of(0, file) for row in read_unit(unit, OPTIONS)]


def reasons(rows: list[RawRow | BadRow]) -> list[tuple[int, str]]:
    return [(row.row, row.reason) for row in rows if isinstance(row, BadRow)]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"summary": "s"}, "document is missing"),
        ({"document": None, "summary": "s"}, "document is missing"),
        ({"document": "d"}, "summary is missing"),
        ({"document": "", "summary": "s"}, "document is empty"),
        ({"document": " \n\u2003", "summary": "s"}, "document is empty"),
        ({"document": "d", "summary": b"\t"}, "summary is empty"),
        ({"document": b"\xff", "summary": "s"}, "document is not UTF-8"),
        ({"document": "d", "summary": "\ud800"}, "summary is not UTF-8"),
        ({"document": 7, "summary": "s"}, "document is not text"),
        ({"document": ["d"], "summary": "s"}, "document is not text"),
        ({"document": "é" * 21, "summary": "s"}, "document is too long"),
        ({"document": "d", "summary": "s" * 21}, "summary is too long"),
        ({"document": "d", "summary": "s", "id": 1.5}, "id is not text"),
        ({"document": "d", "summary": "s", "source": "x" * 1001}, "source is too long"),
    ],
)
def test_an_unusable_row_has_a_reason(fields: dict[str, object], reason: str) -> None:
    row = check_row(RawRow("f", 3, fields), OPTIONS)
    assert isinstance(row, BadRow)
    assert (row.file, row.row, row.reason) == ("f", 3, reason)
    assert len(row.excerpt) <= 200
    json.dumps(row.to_dict(), ensure_ascii=False).encode()


def test_a_usable_row_keeps_its_text_and_gets_defaults() -> None:
    row = check_row(RawRow("f", 1, {"document": " Ünï ", "summary": b"s", "x": 1}), OPTIONS)
    sha256 = b"51fdb33f5b2224d97b9e9202d2fd0d140ca2b10a70e99afb689ec515e0cf2104"
    assert row == Pair(" Ünï ".encode(), b"s", sha256, b"unknown")
    limit = check_row(RawRow("f", 1, {"document": "é" * 20, "summary": "s" * 20}), OPTIONS)
    assert isinstance(limit, Pair)


def test_ids_and_sources_are_taken_as_given() -> None:
    fields = {"document": "d", "summary": "s", "id": 42, "source": " news "}
    row = check_row(RawRow("f", 1, fields), OPTIONS)
    assert row == Pair(b"d", b"s", b"42", b"news")


def test_field_names_can_be_chosen() -> None:
    options = CorpusOptions(document_field="article", summary_field="highlights")
    row = check_row(RawRow("f", 1, {"article": "d", "highlights": "s"}), options)
    assert isinstance(row, Pair)
    missing = check_row(RawRow("f", 1, {"document": "d", "highlights": "s"}), options)
    assert isinstance(missing, BadRow)
    assert missing.detail == "no value for 'article'; fields: document, highlights"


def test_jsonl_gives_a_row_for_every_line() -> None:
    content = (
        b'\xef\xbb\xbf{"document": "one", "summary": "s"}\r\n'
        b"\n"
        b'{"document": "two"\n'
        b'["no", "object"]\n'
        b'{"document": "\xff", "summary": "s"}\n'
        b'{"document": "\\ud800", "summary": "s"}\n'
        b'{"document": "' + b"x" * 70_000 + b'"}\n'
        b'{"document": "last", "summary": "no line end"}'
    )
    rows = list(read_jsonl(io.BytesIO(content), "f", 66_000))
    assert [row.fields["document"] for row in rows if isinstance(row, RawRow)] == [
        "one",
        "last",
    ]
    assert reasons(rows) == [
        (2, "line is blank"),
        (3, "malformed JSON"),
        (4, "malformed JSON"),
        (5, "line is not UTF-8"),
        (6, "malformed JSON"),
        (7, "line is too long"),
    ]
    assert rows[-1].row == 8


def test_csv_honours_quotes_and_refuses_only_the_broken_rows() -> None:
    content = (
        b"\xef\xbb\xbfid,document,summary\r\n"
        b'1,"two\r\nlines, a ""quote""",s\r\n'
        b"2,only two cells\r\n"
        b"\r\n"
        b'3,"quoted"badly,s\r\n'
        b"4,\xff,s\r\n"
        b"5,after,s\r\n"
        b'6,"never closed,s\r\n'
    )
    rows = list(read_csv(io.BytesIO(content), "f", 1000))
    assert [(row.row, row.fields["id"]) for row in rows if isinstance(row, RawRow)] == [
        (2, "1"),
        (7, "4"),
        (8, "5"),
    ]
    assert rows[0].fields["document"] == 'two\nlines, a "quote"'
    assert reasons(rows) == [
        (4, "malformed CSV row"),
        (5, "line is blank"),
        (6, "malformed CSV row"),
        (9, "malformed CSV row"),
    ]
    assert isinstance(rows[4], RawRow)
    judged = check_row(rows[4], OPTIONS)
    assert isinstance(judged, BadRow)
    assert judged.reason == "document is not UTF-8"
    assert "\\xff" in judged.excerpt


def test_a_forgotten_quote_in_csv_swallows_a_bounded_part_only() -> None:
    lines = ["document,summary", '"forgotten,s'] + [f"row {n},s" for n in range(200)]
    rows = list(read_csv(io.BytesIO("\n".join(lines).encode()), "f", 300))
    assert reasons(rows) == [(2, "malformed CSV row")]
    assert 100 < sum(isinstance(row, RawRow) for row in rows) < 200


cells = st.text(st.characters(codec="utf-8", exclude_characters="\r\x00"), max_size=30)


@given(st.lists(st.tuples(cells, cells), min_size=1, max_size=20))
def test_csv_written_by_the_standard_library_is_read_back(rows: list[tuple[str, str]]) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([("document", "summary"), *rows])
    read = list(read_csv(io.BytesIO(text.getvalue().encode()), "f", 10_000))
    assert [tuple(row.fields.values()) for row in read if isinstance(row, RawRow)] == rows
    assert reasons(read) == []


@given(st.lists(st.binary(max_size=40), max_size=20), st.integers(1, 30), st.booleans())
def test_lines_are_numbered_and_cut_whatever_they_hold(
    contents: list[bytes], limit: int, ended: bool
) -> None:
    lines = [content.replace(b"\n", b"").rstrip(b"\r") for content in contents]
    if lines and lines[0].startswith(b"\xef\xbb\xbf"):
        lines[0] = b""
    if not ended:  # what follows the last line end is a line only if it holds something
        while lines and not lines[-1]:
            lines.pop()
    stream = io.BytesIO(b"\n".join(lines) + (b"\n" if lines and ended else b""))
    read = list(bounded_lines(stream, limit))
    assert [line.number for line in read] == list(range(1, len(lines) + 1))
    assert [line.content for line in read] == [line[:limit] for line in lines]
    assert [line.whole for line in read] == [len(line) <= limit for line in lines]


def test_a_line_longer_than_a_chunk_is_cut_and_the_next_one_is_found() -> None:
    stream = io.BytesIO(b"a\n" + b"x" * 5_000_000 + b"\nb\n" + b"y" * 3_000_000)
    read = [(line.number, line.content, line.whole) for line in bounded_lines(stream, 10)]
    assert read == [
        (1, b"a", True),
        (2, b"x" * 10, False),
        (3, b"b", True),
        (4, b"y" * 10, False),
    ]


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


@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet"])
def test_a_damaged_file_is_a_rejected_row_and_its_beginning_is_used(
    tmp_path: Path, kind: str
) -> None:
    if kind == "parquet":
        path = tmp_path / "f.parquet"
        path.write_bytes(b"PAR1 and no footer")
        expected = [(1, "file is damaged")]
    else:
        path = tmp_path / f"f.{kind}.gz"
        line = b'{"document": "d", "summary": "s"}\n' if kind == "jsonl" else b"document,s\n"
        packed = gzip.compress(line * 200_000)
        path.write_bytes(packed[: len(packed) // 2])
        expected = []
    rows = rows_of(path, kind)
    if kind != "parquet":
        assert len(rows) > 10_000
        expected = [(rows[-2].row + 1, "file is damaged")]
    assert reasons(rows) == expected


def test_a_file_that_is_not_there_ends_the_run(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        rows_of(tmp_path / "gone.jsonl", "jsonl")


def test_formats_are_told_from_names() -> None:
    names = [
        *("a.jsonl", "b.NDJSON.gz", "c.csv", "d.tsv", "e.parquet", "f.tfrecord.gz"),
        *("data_tfrecord-00000-of-00001.gz", "README.md", ".hidden.jsonl", "_SUCCESS"),
    ]
    chosen, left_out = choose_files([f"/base/{name}" for name in names], "/base", OPTIONS)
    assert {file.name: file.format for file in chosen} == {
        "a.jsonl": "jsonl",
        "b.NDJSON.gz": "jsonl",
        "c.csv": "csv",
        "d.tsv": "csv",
        "e.parquet": "parquet",
        "f.tfrecord.gz": "tfrecord",
        "data_tfrecord-00000-of-00001.gz": "tfrecord",
    }
    assert Counter(left_out) == Counter(["README.md", ".hidden.jsonl", "_SUCCESS"])
    stated = choose_files(["/base/README.md"], "/base", CorpusOptions(format="csv"))
    assert [file.format for file in stated[0]] == ["csv"]


def test_options_report_every_error_at_once_and_survive_json() -> None:
    with pytest.raises(CorpusInputError) as refused:
        CorpusOptions(format="xml", document_field="", max_summary_bytes=0)
    for text in ("'xml'", "field names", "max_summary_bytes"):
        assert text in str(refused.value)
    values = {**OPTIONS.to_dict(), "max_document_bytes": 40.0, "code": "of no concern"}
    assert CorpusOptions.from_dict(values) == OPTIONS


PAIRS = [{"document": f"d {number}", "summary": "s"} for number in range(3)]


@pytest.mark.parametrize(
    ("content", "documents", "bad"),
    [
        (json.dumps(PAIRS), ["d 0", "d 1", "d 2"], []),
        (f"\ufeff \n{json.dumps(PAIRS, indent=2)}\n", ["d 0", "d 1", "d 2"], []),
        ("\n".join(map(json.dumps, PAIRS)), ["d 0", "d 1", "d 2"], []),
        (json.dumps(PAIRS[0]), ["d 0"], []),
        ('[{"document": "d", "summary": "s"}, 7, []]', ["d"], [(2, "malformed JSON")] * 1),
        ("[]", [], []),
        ("", [], []),
        ('[{"document": "d", "summary": "s"}, {"docu', ["d"], [(2, "file is damaged")]),
    ],
)
def test_a_json_file_holds_an_array_or_lines(
    tmp_path: Path, content: str, documents: list[str], bad: list[tuple[int, str]]
) -> None:
    for packed in (False, True):
        path = tmp_path / ("pairs.json.gz" if packed else "pairs.JSON")
        path.write_bytes(gzip.compress(content.encode()) if packed else content.encode())
        rows = rows_of(path, "json")
        assert [row.fields["document"] for row in rows if isinstance(row, RawRow)] == documents
        assert reasons(rows)[: len(bad)] == bad


@pytest.mark.parametrize("kind", ["jsonl", "json", "csv"])
def test_of_an_archive_that_is_cut_short_what_comes_before_is_used(
    tmp_path: Path, kind: str
) -> None:
    # Given 2,000 rows that do not pack well, and a packed file of half of their bytes
    rows = [(f"d {number} {random.Random(number).random()}", "s") for number in range(2000)]
    text = {
        "jsonl": "".join(json.dumps({"document": d, "summary": s}) + "\n" for d, s in rows),
        "json": json.dumps([{"document": d, "summary": s} for d, s in rows]),
        "csv": "document,summary\n" + "".join(f"{d},{s}\n" for d, s in rows),
    }[kind]
    packed = gzip.compress(text.encode())
    path = tmp_path / f"pairs.{kind}.gz"
    path.write_bytes(packed[: len(packed) // 2])

    # When it is read
    read = rows_of(path, kind)

    # Then nearly half of them are there, and what is wrong is said
    used = [row.fields["document"] for row in read if isinstance(row, RawRow)]
    assert used == [document for document, _ in rows[: len(used)]]
    assert 800 < len(used) < 1200
    assert [reason for _, reason in reasons(read)] == ["file is damaged"]


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
