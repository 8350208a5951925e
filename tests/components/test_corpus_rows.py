"""A row becomes a pair, or has a reason why not; and the options that say so."""

from __future__ import annotations

import json

import pytest

from components.corpus_example_gen.options import CorpusInputError, CorpusOptions
from components.corpus_example_gen.rows import BadRow, Pair, RawRow, check_row
from tests.components.read_rows import OPTIONS


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


def test_options_report_every_error_at_once_and_survive_json() -> None:
    with pytest.raises(CorpusInputError) as refused:
        CorpusOptions(format="xml", document_field="", max_summary_bytes=0)
    for text in ("'xml'", "field names", "max_summary_bytes"):
        assert text in str(refused.value)
    values = {**OPTIONS.to_dict(), "max_document_bytes": 40.0, "code": "of no concern"}
    assert CorpusOptions.from_dict(values) == OPTIONS
