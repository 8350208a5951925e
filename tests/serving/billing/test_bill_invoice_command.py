"""`tallygraph bill invoice` on real ledgers."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import pypdf
import pytest
import sqlalchemy as sa
from typer.testing import CliRunner, Result

from pipelines.cli import app
from tests.serving.billing.invoice_book import DETAILS, Book
from tests.support.tenants import add_tenant

Bill = Callable[..., Result]


@pytest.fixture
def book(engine: sa.Engine) -> Book:
    add_tenant(engine)
    return Book(engine)


@pytest.fixture
def bill(book: Book, tmp_path: Path) -> Bill:
    """Gives `tallygraph bill invoice acme` more words."""
    (tmp_path / "details.toml").write_text(DETAILS)
    url = book.engine.url.render_as_string(hide_password=False)
    runner = CliRunner(env={"TALLYGRAPH_DATABASE": url, "COLUMNS": "300"})

    def run(*words: str, details: bool = True) -> Result:
        given = ("--details", str(tmp_path / "details.toml")) if details else ()
        result = runner.invoke(app, ["bill", "invoice", "acme", *words, *given])
        assert result.exception is None or isinstance(result.exception, SystemExit)
        return result

    return run


def test_an_invoice_in_every_format(book: Book, bill: Bill, tmp_path: Path) -> None:
    book.charge(12_345_678, "2025-11-02")
    for format in ("text", "json", "csv", "html"):
        result = bill("2025-11", "--format", format)
        assert result.exit_code == 0, result.output
        assert "INV-acme-2025-11" in result.stdout
        assert bill("2025-11", "--format", format).stdout == result.stdout
        file = tmp_path / "invoice"
        assert bill("2025-11", "--format", format, "--output", str(file)).stdout == ""
        assert file.read_bytes() == result.stdout_bytes
    printed = bill("2025-11", "--format", "pdf").stdout_bytes
    (page,) = pypdf.PdfReader(io.BytesIO(printed)).pages
    assert "To pay, EUR 14.70" in page.extract_text()


def test_the_month_that_goes_on_is_a_draft(book: Book, bill: Bill) -> None:
    book.charge(5, "9999-12-15")
    values = json.loads(bill("9999-12").stdout)
    assert (values["draft"], values["number"]) == ("9999-12 has not ended", None)
    assert (values["issued"], values["due"]) == (None, None)


def test_without_details_it_is_a_draft(book: Book, bill: Bill) -> None:
    book.charge(5, "2025-11-02")
    values = json.loads(bill("2025-11", details=False).stdout)
    assert (values["draft"], values["buyer"]["name"]) == ("nobody is named who sells", "acme")


def test_csv_without_taxes(book: Book, bill: Bill) -> None:
    book.charge(700, "2025-11-02")
    result = bill("2025-11", "--format", "csv", details=False)
    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    assert [(row["row"], row["exact amount"], row["amount"]) for row in rows] == [
        ("line", "0.000700", "0.00"),
        ("net", "0.000700", "0.00"),
        ("total", "", "0.00"),
    ]


def test_the_day_of_issue(book: Book, bill: Bill) -> None:
    values = json.loads(bill("2025-11", "--issued", "2025-12-05").stdout)
    assert (values["issued"], values["due"]) == ("2025-12-05", "2025-12-19")
    for wrong, why in (
        ("2025-11-30", "issued after its month"),
        ("tomorrow", "expected in the form 2026-12-02. Received: 'tomorrow'"),
    ):
        result = bill("2025-11", "--issued", wrong)
        assert (result.exit_code, why in result.output) == (2, True), result.output


def test_what_cannot_be_invoiced(book: Book, bill: Bill, tmp_path: Path) -> None:
    book.charge(5, "2025-11-02", currency="ZZZ")
    result = bill("2025-11")
    assert (result.exit_code, "Received: 'ZZZ'" in result.output) == (2, True)
    result = bill("2025-11", "--format", "docx")
    assert (result.exit_code, "Expected: text, json, csv, html, pdf" in result.output) == (
        2,
        True,
    )
    result = bill("2025-10", "--output", str(tmp_path / "no/folder/invoice.json"))
    assert (result.exit_code, "Cannot write the invoice" in result.output) == (1, True)
    (tmp_path / "details.toml").write_text("[seller]\n")
    result = bill("2025-10")
    assert (result.exit_code, "line 1: seller.name is missing" in result.output) == (2, True)


def test_letters_that_no_font_has_are_reported(book: Book, bill: Bill, tmp_path: Path) -> None:
    text = DETAILS.replace("Acme Ltd", "Acme \N{ROCKET}")
    (tmp_path / "details.toml").write_text(text)
    result = bill("2025-11", "--format", "pdf", "--output", str(tmp_path / "invoice.pdf"))
    assert result.exit_code == 0
    assert "boxes in the PDF: U+1F680" in result.stderr
    assert (tmp_path / "invoice.pdf").read_bytes().startswith(b"%PDF")
