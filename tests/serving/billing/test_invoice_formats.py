"""An invoice as text, JSON, CSV, page and PDF says the same, and no name in it is markup."""

from __future__ import annotations

import csv
import datetime
import io
import json
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pypdf
import pytest

from serving.billing.invoice import Invoice, InvoiceError, InvoiceLine
from serving.billing.invoice_details import InvoiceDetails, load_details
from serving.billing.invoice_document import InvoiceDocument, make_document
from serving.billing.invoice_formats import FORMATS, as_csv, as_html, as_json, as_text
from serving.billing.invoice_pdf import as_pdf
from tests.serving.billing.invoice_book import DETAILS

LINES = (
    InvoiceLine("p1", "summarizer", "charge", "2026-11", "input", 0, 0, 3, 1_000, 0),
    InvoiceLine(
        "p1", "summarizer", "charge", "2026-11", "input", 1, 400, 3, 30_864, 12_345_678
    ),
    InvoiceLine("p1", "a<b>", "reversal", "2026-10", "all", 0, None, 1, -13, -1_005_000),
)
USAGE = Invoice("acme", "2026-11", "EUR", 2, 4, "ab" * 32, 2, 9, 0, 1, LINES, 11_340_678)
HOSTILE = '</td><script>alert(1)</script> <b>x</b> **y** __z__ [a](http://b) & \\"q\\"'


@pytest.fixture
def document(tmp_path: Path) -> InvoiceDocument:
    return invoice_of(tmp_path, DETAILS)


def invoice_of(folder: Path, text: str) -> InvoiceDocument:
    path = folder / "details.toml"
    path.write_text(text)
    return make_document(USAGE, load_details(path), datetime.datetime(2027, 1, 1))


def text_of(content: bytes) -> str:
    pages = pypdf.PdfReader(io.BytesIO(content)).pages
    return "\n".join(page.extract_text() for page in pages)


def test_text(document: InvoiceDocument) -> None:
    lines = [" ".join(line.split()) for line in as_text(document).splitlines()]
    for expected in (
        "Invoice",
        "Acme Ltd",
        "Tax id: DE123456789",
        "Invoice number INV-acme-2026-11",
        "Issued 2026-12-01",
        "Due 2026-12-15",
        "summarizer, input tokens, tier 1 (price p1) 2026-11 3 30,864 0.000400 12.35",
        "Reversal: a<b>, tokens (price p1) 2026-10 1 -13 -1.01",
        "Net amount 11.34",
        "VAT, 19 % of 11.34 2.15",
        "To pay, EUR 13.49",
        "IBAN DE02 1203 0000 0000 2020 51",
        "Thank you.",
    ):
        assert expected in lines


def test_json_has_integers_for_money(document: InvoiceDocument) -> None:
    values = json.loads(as_json(document), parse_float=pytest.fail)
    assert [line["amount_minor"] for line in values["lines"]] == [0, 1235, -101]
    assert [line["amount_micro"] for line in values["lines"]] == [0, 12_345_678, -1_005_000]
    assert (values["net_minor"], values["gross_minor"], values["decimals"]) == (1134, 1349, 2)
    assert values["taxes"] == [
        {"name": "VAT", "percent": "19", "base_minor": 1134, "amount_minor": 215}
    ]
    assert (values["number"], values["issued"], values["due"], values["draft"]) == (
        "INV-acme-2026-11",
        "2026-12-01",
        "2026-12-15",
        None,
    )
    assert (values["seller"]["name"], values["buyer"]["name"]) == (
        "Example Summaries GmbH",
        "Acme Ltd",
    )


def test_csv_has_a_row_for_each_line_and_each_column_once(document: InvoiceDocument) -> None:
    heading, *rows = csv.reader(io.StringIO(as_csv(document)))
    assert len(set(heading)) == len(heading)
    assert all(len(row) == len(heading) for row in rows)
    table = [dict(zip(heading, row, strict=True)) for row in rows]
    assert [row["row"] for row in table] == ["line", "line", "line", "net", "tax", "total"]
    assert [row["amount"] for row in table] == [
        *("0.00", "12.35", "-1.01"),
        *("11.34", "2.15", "13.49"),
    ]
    assert [row["exact amount"] for row in table[:4]] == [
        *("0.000000", "12.345678", "-1.005000", "11.340678"),
    ]
    assert [row["tier"] for row in table[:3]] == ["free", "1", ""]
    assert {(row["invoice"], row["month"], row["currency"]) for row in table} == {
        ("INV-acme-2026-11", "2026-11", "EUR")
    }
    assert (table[2]["model"], table[2]["usage month"]) == ("a<b>", "2026-10")


def test_a_draft_says_so_in_every_format(document: InvoiceDocument) -> None:
    draft = replace(document, draft="2026-11 has not ended", number=None, issued=None, due=None)
    assert "This is a draft: 2026-11 has not ended." in as_text(draft)
    assert "This is a draft: 2026-11 has not ended." in as_html(draft)
    assert "This is a draft: 2026-11 has not ended." in text_of(as_pdf(draft).content)
    assert json.loads(as_json(draft))["draft"] == "2026-11 has not ended"
    rows = list(csv.DictReader(io.StringIO(as_csv(draft))))
    assert {row["invoice"] for row in rows} == {"draft"}
    for render in (as_text, as_html):
        assert "Invoice number" not in render(draft)


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def test_no_name_is_markup(document: InvoiceDocument, tmp_path: Path) -> None:
    hostile = invoice_of(tmp_path, DETAILS.replace("Acme Ltd", HOSTILE))
    name = hostile.buyer.name
    plain, attacked = _Tags(), _Tags()
    plain.feed(as_html(document))
    attacked.feed(as_html(hostile))
    assert attacked.tags == plain.tags
    assert name in attacked.text and "a<b>" in attacked.text
    assert f"  {name}\n" in as_text(hostile)
    pdf = as_pdf(hostile)
    assert name in text_of(pdf.content)
    (page,) = pypdf.PdfReader(io.BytesIO(pdf.content)).pages
    assert "/Annots" not in page


def test_pdf(document: InvoiceDocument) -> None:
    pdf = as_pdf(document)
    assert pdf.without_letter == ()
    text = text_of(pdf.content)
    for expected in (
        "Invoice number: INV-acme-2026-11",
        "12.35",
        "Net amount 11.34",
        "VAT, 19 % of 11.34 2.15",
        "To pay, EUR 13.49",
        USAGE.last_hash,
    ):
        assert expected in text


NAMES = ("Jürgen Ağaoğlu", "Жук и Ко", "Ωμέγα", "株式会社トヨタ", "汉字公司", "한국어 회사")


def test_pdf_has_names_of_any_script(tmp_path: Path) -> None:
    """Letters that are joined or turned are drawn; that they can be copied is not promised."""
    others = ("شركة المثال", "חברה", "हिन्दी कंपनी", "ไทย", "தமிழ்")
    address = ", ".join(f'"{name}"' for name in (*NAMES, *others))
    document = invoice_of(tmp_path, DETAILS.replace('"1 High Street", "London"', address))
    pdf = as_pdf(document)
    assert pdf.without_letter == ()
    text = text_of(pdf.content)
    assert all(name in text for name in NAMES)


def test_letters_that_no_font_has_are_boxes_and_named(tmp_path: Path) -> None:
    document = invoice_of(tmp_path, DETAILS.replace("Acme Ltd", "Acme \N{ROCKET} \ue000"))
    pdf = as_pdf(document)
    assert pdf.without_letter == ("\ue000", "\N{ROCKET}")
    assert "Acme □ □" in text_of(pdf.content)


def test_a_font_of_ones_own(tmp_path: Path) -> None:
    with pytest.raises(InvoiceError, match=r"Cannot read the font .*nothing.ttf"):
        as_pdf(invoice_of(tmp_path, DETAILS), [tmp_path / "nothing.ttf"])
    wrong = tmp_path / "wrong.ttf"
    wrong.write_text("not a font")
    with pytest.raises(InvoiceError, match=r"Cannot read the font .*wrong.ttf"):
        as_pdf(invoice_of(tmp_path, DETAILS), [wrong])


def test_many_lines_take_several_pages(document: InvoiceDocument) -> None:
    usage = replace(USAGE, lines=LINES * 40, total_micro=USAGE.total_micro * 40)
    long = replace(document, usage=usage, line_amounts_minor=document.line_amounts_minor * 40)
    pages = pypdf.PdfReader(io.BytesIO(as_pdf(long).content)).pages
    assert len(pages) > 2
    assert sum(page.extract_text().count("Reversal: a<b>") for page in pages) == 40


def test_the_same_invoice_gives_the_same_bytes(document: InvoiceDocument) -> None:
    assert as_pdf(document) == as_pdf(document)
    assert [render(document) for render in FORMATS.values()] == [
        render(document) for render in FORMATS.values()
    ]


def test_a_month_without_entries(tmp_path: Path) -> None:
    nothing = replace(USAGE, currency="", lines=(), total_micro=0, first_entry=1, last_entry=0)
    details: InvoiceDetails | None = None
    empty = make_document(nothing, details, datetime.datetime(2027, 1, 1))
    assert empty.payable == "0.00"
    assert "The ledger has no entries for this invoice." in as_html(empty)
    assert "The ledger has no entries for this invoice." in as_text(empty)
    assert "has no entries" in text_of(as_pdf(empty).content)
