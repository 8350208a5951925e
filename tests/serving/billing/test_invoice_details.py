"""Seller, buyers and taxes are read whole: every mistake is named, with its line."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from serving.billing.invoice_details import DetailsError, InvoiceDetails, load_details
from tests.serving.billing.invoice_book import DETAILS

EXAMPLE = Path(__file__).parents[3] / "examples" / "invoice-details.toml"


def details(folder: Path, text: str) -> InvoiceDetails:
    path = folder / "details.toml"
    path.write_text(text)
    return load_details(path)


def test_who_buys_and_what_is_added(tmp_path: Path) -> None:
    read = details(tmp_path, f"{DETAILS}\n[buyers.abroad]\nname = 'B'\ntaxes = []\n")
    assert (read.buyer("acme").name, read.buyer("other").name) == ("Acme Ltd", "other")
    assert [(tax.name, tax.rate) for tax in read.taxes("acme")] == [("VAT", 19_000)]
    assert read.taxes("other") == read.taxes("acme")
    assert read.taxes("abroad") == ()


@pytest.mark.parametrize(
    ("percent", "rate"), [("19", 19_000), ("8.1", 8_100), ("0.125", 125), ("100", 100_000)]
)
def test_a_rate_is_exact(tmp_path: Path, percent: str, rate: int) -> None:
    (tax,) = details(tmp_path, DETAILS.replace("= 19", f"= {percent}")).taxes("acme")
    assert (tax.rate, tax.percent) == (rate, Decimal(percent))


def test_all_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    text = """
[seller]
address = ["one\\ntwo"]

[invoice]
due_days = -1
number_prefix = "a b"
taxes = [{ name = "VAT", percent = 19.0001 }, { name = " ", percent = 101 }]

[buyers.acme]
name = "A\\u202e"
colour = "red"
"""
    with pytest.raises(DetailsError) as wrong:
        details(tmp_path, text)
    assert str(wrong.value).splitlines()[1:] == [
        "- line 2: seller.name is missing",
        "- line 3: seller.address.0: must be one line, without control characters. Received: "
        "'one\\ntwo'",
        "- line 6: invoice.due_days: Input should be greater than or equal to 0. Received: "
        "'-1'",
        "- line 7: invoice.number_prefix: String should match pattern "
        "'^[A-Za-z0-9][A-Za-z0-9/._-]{0,30}$|^$'. Received: 'a b'",
        "- line 8: invoice.taxes.0.percent: must have at most three decimals. Received: "
        "'19.0001'",
        "- line 8: invoice.taxes.1.name: must not be empty. Received: ' '",
        "- line 8: invoice.taxes.1.percent: Input should be less than or equal to 100. "
        "Received: '101'",
        "- line 11: buyers.acme.name: must be one line, without control characters. Received: "
        "'A\\u202e'",
        "- line 12: buyers.acme.colour is unknown",
    ]


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(DetailsError, match="Cannot read the invoice details"):
        load_details(tmp_path / "nothing.toml")
    with pytest.raises(DetailsError, match="at line 1"):
        details(tmp_path, "[seller\n")
    with pytest.raises(DetailsError, match="line 1: seller is missing"):
        details(tmp_path, "")


def test_names_in_scripts_that_need_joiners_are_taken(tmp_path: Path) -> None:
    name = "شرکت کتاب‌ها"
    assert details(tmp_path, DETAILS.replace("Acme Ltd", name)).buyer("acme").name == name


def test_the_example_is_one() -> None:
    read = load_details(EXAMPLE)
    assert read.seller.address and read.invoice.taxes and read.buyers
