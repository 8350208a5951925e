"""What a request costs, by date, to the millionth."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.billing import Price, PriceBook, PriceBookError
from serving.ledger import Usage

BOOK = """
currency = "EUR"

[[prices]]
id = "2026-01"
valid_from = 2026-01-01
model = "summarizer"
plan = "standard"
price_micro_per_1k_input_tokens = 400
price_micro_per_1k_cached_tokens = 100
price_micro_per_1k_output_tokens = 1600

[[prices]]
id = "2026-12"
valid_from = 2026-12-01
model = "summarizer"
plan = "standard"
price_micro_per_1k_input_tokens = 300
price_micro_per_1k_cached_tokens = 0
price_micro_per_1k_output_tokens = 1200
"""


def book(tmp_path: Path, text: str = BOOK) -> PriceBook:
    path = tmp_path / "prices.toml"
    path.write_text(text)
    return PriceBook.load(path)


def test_a_price_holds_until_the_next(tmp_path: Path) -> None:
    prices = book(tmp_path)
    for day, expected in (
        (datetime.date(2026, 1, 1), "2026-01"),
        (datetime.date(2026, 11, 30), "2026-01"),
        (datetime.date(2026, 12, 1), "2026-12"),
        (datetime.date(2030, 1, 1), "2026-12"),
    ):
        assert prices.price("summarizer", "standard", day).id == expected
    with pytest.raises(PriceBookError, match="no price of the model 'summarizer' on the plan"):
        prices.price("summarizer", "standard", datetime.date(2025, 12, 31))


def test_a_charge_is_rounded_once(tmp_path: Path) -> None:
    prices = book(tmp_path)
    price = prices.price("summarizer", "standard", datetime.date(2026, 11, 25))
    usage = Usage("summarizer", "7", "f", 1, 101, 1, 1, "stop", 3)
    charge = prices.charge(price, usage)
    # 100 * 400 + 1 * 100 + 1 * 1600 = 41,700 thousandths
    assert (charge.amount_micro, charge.currency, charge.price_id) == (42, "EUR", "2026-01")
    assert price.amount_micro(0, 0, 0) == 0


tokens = st.integers(0, 10**6)


@given(tokens, tokens, tokens, st.integers(0, 1000), st.integers(0, 1000), st.integers(0, 5))
def test_more_tokens_never_cost_less(
    input_tokens: int, output_tokens: int, more: int, of_input: int, of_output: int, cached: int
) -> None:
    """So the most that a request can use is the most that it can cost."""
    price = Price("p", datetime.date(2026, 1, 1), "m", "p", of_input, 0, of_output)
    cached = min(cached, input_tokens)
    cost = price.amount_micro(input_tokens, cached, output_tokens)
    assert cost <= price.amount_micro(input_tokens + more, 0, output_tokens + more)


def test_all_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    text = BOOK.replace('"EUR"', '"euro"').replace('plan = "standard"', "plan = 3", 1)
    text = text.replace("= 1200", "= -1").replace("2026-12-01", '"December"')
    with pytest.raises(PriceBookError) as wrong:
        book(tmp_path, text)
    assert [line[2:] for line in str(wrong.value).splitlines()[1:]] == [
        "currency must be ISO 4217, such as EUR. Received: 'euro'",
        "price 1: plan must be a name. Received: 3",
        "price 2: price_micro_per_1k_output_tokens must be an integer from 0. Received: -1",
        "price 2: valid_from must be a date (2026-11-01). Received: 'December'",
    ]


def test_books_that_contradict_themselves(tmp_path: Path) -> None:
    with pytest.raises(PriceBookError, match="two prices have the same id: 2026-01"):
        book(tmp_path, BOOK.replace('"2026-12"', '"2026-01"'))
    with pytest.raises(PriceBookError, match="the same model, plan and date"):
        book(tmp_path, BOOK.replace("2026-12-01", "2026-01-01"))
    with pytest.raises(PriceBookError, match=r"it has no \[\[prices\]\]"):
        book(tmp_path, 'currency = "EUR"')
    with pytest.raises(PriceBookError, match="Cannot read the price book"):
        PriceBook.load(tmp_path / "nothing.toml")


def test_the_example_is_a_price_book() -> None:
    example = PriceBook.load(Path(__file__).parents[3] / "examples" / "prices.toml")
    assert example.price("summarizer", "standard", datetime.date(2026, 11, 25)).id
