"""Files as rows, without TFX: how text is read, and what a damaged file still gives."""

from __future__ import annotations

import csv
import gzip
import io
import json
import random
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.corpus_example_gen.files import choose_files
from components.corpus_example_gen.options import CorpusOptions
from components.corpus_example_gen.rows import BadRow, RawRow, check_row
from components.corpus_example_gen.text_readers import bounded_lines, read_csv, read_jsonl
from tests.components.read_rows import OPTIONS, reasons, rows_of


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
