"""An invoice is what the ledger says, adds up exactly, and never changes."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from pathlib import Path

import pytest

from serving.billing.invoice import InvoiceError, make_invoice
from serving.ledger.database import open_database
from tests.serving.billing.invoice_book import Book
from tests.support.fresh_ledger import sqlite_ledger


@pytest.fixture
def book(tmp_path: Path) -> Iterator[Book]:
    engine = open_database(sqlite_ledger(tmp_path))
    yield Book(engine)
    engine.dispose()


def test_lines_add_up(book: Book) -> None:
    book.charge(700, "2026-10-31 23:59:59.999999")
    book.charge(5, "2026-11-01")
    book.charge(6, "2026-11-02", price_id="2026-b")
    last = book.charge(7, "2026-11-30 23:59:59.999999")
    book.charge(800, "2026-12-01")
    book.charge(900, "2026-11-15", tenant="other")
    invoice = make_invoice(book.engine, "acme", "2026-11")
    assert [(line.price_id, line.requests, line.amount_micro) for line in invoice.lines] == [
        ("2026", 2, 12),
        ("2026-b", 1, 6),
    ]
    assert (invoice.lines[0].meter, invoice.lines[0].tokens) == ("all", 26)
    assert (invoice.requests, invoice.input_tokens, invoice.cached_tokens) == (3, 30, 6)
    assert (invoice.first_entry, invoice.last_entry, invoice.total_micro) == (2, 4, 18)
    assert (invoice.currency, invoice.last_hash) == ("EUR", last.hash)


def test_an_old_invoice_never_changes(book: Book) -> None:
    charge = book.charge(2_000_000, "2026-11-02")
    book.charge(1, "2026-12-01")
    before = make_invoice(book.engine, "acme", "2026-11")
    book.now = datetime.datetime(2026, 12, 5)
    book.ledger.reverse("acme", charge.number, "it was wrong", "pat")
    # A clock that jumps back does not reach into it either.
    book.charge(3, "2026-11-20")
    after = make_invoice(book.engine, "acme", "2026-11")
    assert after == before
    december = make_invoice(book.engine, "acme", "2026-12")
    assert [(line.kind, line.month, line.amount_micro) for line in december.lines] == [
        ("charge", "2026-11", 3),
        ("charge", "2026-12", 1),
        ("reversal", "2026-11", -2_000_000),
    ]
    assert december.total_micro == -1_999_996
    assert december.payable == "-2.00"


def test_every_entry_is_on_one_invoice(book: Book) -> None:
    for month in (1, 1, 3, 2, 5, 4, 9, 12):  # the clock jumps about
        book.charge(month, f"2026-{month:02d}-15")
    invoices = [
        make_invoice(book.engine, "acme", f"2026-{month:02d}") for month in range(1, 13)
    ]
    covered = [
        number
        for invoice in invoices
        for number in range(invoice.first_entry, invoice.last_entry + 1)
    ]
    assert covered == list(range(1, 9))
    assert sum(invoice.total_micro for invoice in invoices) == 1 + 1 + 3 + 2 + 5 + 4 + 9 + 12


def test_a_month_without_entries(book: Book) -> None:
    invoice = make_invoice(book.engine, "acme", "2026-11")
    assert (invoice.lines, invoice.total_micro, invoice.payable) == ((), 0, "0.00")
    assert (invoice.first_entry, invoice.last_entry) == (1, 0)


@pytest.mark.parametrize(
    "month", ["2026-13", "2026-1", "26-01", "2026-01-01", "", "0000-01", "٢٠٢٦-١١"]
)
def test_no_month(book: Book, month: str) -> None:
    with pytest.raises(InvoiceError, match="A month is expected in the form 2026-11"):
        make_invoice(book.engine, "acme", month)


def test_the_last_month_that_a_date_can_be_in(book: Book) -> None:
    book.charge(5, "9999-12-31 23:59:59")
    assert make_invoice(book.engine, "acme", "9999-12").total_micro == 5


def test_two_currencies_are_two_invoices(book: Book) -> None:
    book.charge(1, "2026-11-02")
    book.charge(1, "2026-11-03", currency="USD")
    with pytest.raises(InvoiceError, match="several currencies: EUR, USD"):
        make_invoice(book.engine, "acme", "2026-11")
