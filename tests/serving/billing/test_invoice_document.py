"""What is sent adds up, is a draft until its month has ended, and keeps its number."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from serving.billing.currencies import DECIMALS
from serving.billing.invoice import Invoice, InvoiceError, InvoiceLine, make_invoice
from serving.billing.invoice_details import InvoiceDetails, load_details
from serving.billing.invoice_document import InvoiceDocument, invoice_number, make_document
from serving.ledger.database import open_database
from tests.serving.billing.invoice_book import DETAILS, Book
from tests.support.fresh_ledger import sqlite_ledger

LATER = datetime.datetime(2027, 6, 1)


@pytest.fixture
def book(tmp_path: Path) -> Iterator[Book]:
    engine = open_database(sqlite_ledger(tmp_path))
    yield Book(engine)
    engine.dispose()


@pytest.fixture
def details(tmp_path: Path) -> InvoiceDetails:
    path = tmp_path / "details.toml"
    path.write_text(DETAILS)
    return load_details(path)


def made(
    engine: sa.Engine,
    details: InvoiceDetails | None,
    now: datetime.datetime = LATER,
    issued: datetime.date | None = None,
) -> InvoiceDocument:
    return make_document(make_invoice(engine, "acme", "2026-11"), details, now, issued)


def test_lines_are_rounded_and_then_added(book: Book, details: InvoiceDetails) -> None:
    """By hand: 1.005 and 2.005 are 1.01 and 2.01, not 3.01; 19 % of 3.02 are 0.5738."""
    book.charge(1_005_000, "2026-11-02")
    book.charge(2_005_000, "2026-11-03", price_id="2026-b")
    document = made(book.engine, details)
    assert document.line_amounts_minor == (101, 201)
    (tax,) = document.taxes
    assert (document.net_minor, tax.base_minor, tax.amount_minor) == (302, 302, 57)
    assert (document.gross_minor, document.payable) == (359, "3.59")
    assert document.usage.payable == "3.02"
    assert document.usage.total_micro == 3_010_000


def test_number_dates_and_parties(book: Book, details: InvoiceDetails) -> None:
    book.charge(1, "2026-11-02")
    document = made(book.engine, details)
    assert (document.draft, document.number) == (None, "INV-acme-2026-11")
    assert (document.issued, document.due) == (
        datetime.date(2026, 12, 1),
        datetime.date(2026, 12, 15),
    )
    assert (document.first_day, document.last_day) == (
        datetime.date(2026, 11, 1),
        datetime.date(2026, 11, 30),
    )
    assert document.seller == details.seller
    assert (document.buyer.name, document.notes) == ("Acme Ltd", ("Thank you.",))


def test_the_same_month_has_the_same_number_whenever_it_is_made(
    book: Book, details: InvoiceDetails
) -> None:
    book.charge(7, "2026-11-02")
    first = made(book.engine, details)
    book.charge(9, "2026-12-02")
    book.charge(9, "2026-12-02", tenant="other")
    assert made(book.engine, details, datetime.datetime(2031, 1, 1)) == first
    later = made(book.engine, details, issued=datetime.date(2026, 12, 5))
    assert (later.number, later.due) == (first.number, datetime.date(2026, 12, 19))


def test_a_draft_until_the_month_has_ended(book: Book, details: InvoiceDetails) -> None:
    book.charge(1, "2026-11-02")
    for now, why in (
        (datetime.datetime(2026, 11, 30, 23, 59, 59), "2026-11 has not ended"),
        (datetime.datetime(2026, 12, 1, 0, 59), "2026-11 ended less than an hour ago"),
        (datetime.datetime(2026, 12, 1, 1), None),
    ):
        document = made(book.engine, details, now)
        assert (document.draft or "").startswith(why or "")
        dated = (document.number, document.issued, document.due)
        assert (dated == (None, None, None)) == (document.draft is not None) == bool(why)
        assert document.gross_minor == 0


def test_without_a_seller_it_is_a_draft(book: Book) -> None:
    document = made(book.engine, None)
    assert (document.draft, document.number) == ("nobody is named who sells", None)
    assert (document.seller, document.buyer.name, document.taxes) == (None, "acme", ())


def test_an_issue_within_the_month_is_refused(book: Book, details: InvoiceDetails) -> None:
    with pytest.raises(InvoiceError, match=r"a day after 2026-11-30\. Received: 2026-11-30"):
        made(book.engine, details, issued=datetime.date(2026, 11, 30))


def test_the_last_month_that_there_is(book: Book, details: InvoiceDetails) -> None:
    usage = make_invoice(book.engine, "acme", "9999-12")
    assert make_document(usage, details, LATER).last_day == datetime.date(9999, 12, 31)


def test_yen_have_no_cents(book: Book, details: InvoiceDetails) -> None:
    book.charge(1_500_000, "2026-11-02", currency="JPY")
    document = made(book.engine, details)
    assert (document.net_minor, document.gross_minor, document.payable) == (2, 2, "2")


def test_what_is_no_currency_is_not_invoiced(book: Book) -> None:
    book.charge(1, "2026-11-02", currency="ZZZ")
    with pytest.raises(InvoiceError, match=r"must be one of ISO 4217 .* Received: 'ZZZ'"):
        make_invoice(book.engine, "acme", "2026-11")


def test_on_both_databases(engine: sa.Engine, details: InvoiceDetails) -> None:
    book = Book(engine)
    charge = book.charge(2_000_000, "2026-11-02")
    book.ledger.reverse("acme", charge.number, "it was wrong", "pat")
    document = made(engine, details)
    assert document.line_amounts_minor == (200, -200)
    assert (document.number, document.gross_minor) == ("INV-acme-2026-11", 0)


names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}", fullmatch=True)
months = st.dates(datetime.date(1000, 1, 1)).map(lambda day: f"{day:%Y-%m}")


@given(names, months, names, months)
def test_no_two_tenants_and_months_share_a_number(
    tenant: str, month: str, other: str, other_month: str
) -> None:
    same = invoice_number("A-", tenant, month) == invoice_number("A-", other, other_month)
    assert same == ((tenant, month) == (other, other_month))


@st.composite
def a_usage(draw: st.DrawFn) -> Invoice:
    amounts = draw(st.lists(st.integers(-(10**13), 10**13), max_size=8))
    lines = tuple(
        InvoiceLine(f"p{n}", "m", "charge", "2026-11", "input", 1, 1, 1, 1, amount)
        for n, amount in enumerate(amounts)
    )
    currency = draw(st.sampled_from(sorted(DECIMALS)))
    counts = ("requests", "input_tokens", "cached_tokens", "output_tokens")
    whole: dict[str, Any] = dict.fromkeys(counts, 0)
    return Invoice(
        tenant="acme",
        month="2026-11",
        currency=currency,
        first_entry=1,
        last_entry=len(lines),
        last_hash="",
        lines=lines,
        total_micro=sum(amounts),
        **whole,
    )


rates = st.lists(st.decimals(0, 100, places=3, allow_nan=False), max_size=3)


@given(a_usage(), rates)
def test_totals_add_up_for_all_prices_and_currencies(
    usage: Invoice, percents: list[Decimal]
) -> None:
    """What is printed adds up, and is what decimal arithmetic says it is."""
    details = InvoiceDetails.model_validate(
        {
            "seller": {"name": "S"},
            "invoice": {"taxes": [{"name": "T", "percent": each} for each in percents]},
        }
    )
    document = make_document(usage, details, LATER)
    unit = Decimal(1).scaleb(-DECIMALS[usage.currency])

    def half_up(value: Decimal) -> Decimal:
        return value.quantize(unit, ROUND_HALF_UP)

    printed = [Decimal(document.money(amount)) for amount in document.line_amounts_minor]
    assert printed == [half_up(Decimal(line.amount_micro) / 10**6) for line in usage.lines]
    net = Decimal(document.money(document.net_minor))
    assert net == sum(printed, Decimal(0))
    taxes = [Decimal(document.money(tax.amount_minor)) for tax in document.taxes]
    assert taxes == [half_up(net * each / 100) for each in percents]
    assert Decimal(document.payable) == net + sum(taxes, Decimal(0))
    exact = Decimal(usage.total_micro) / 10**6
    assert abs(net - exact) <= unit / 2 * len(usage.lines)
