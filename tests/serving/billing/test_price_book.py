"""What a request costs, by date, to the millionth."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest

from serving.billing import PriceBook, PriceBookError, Tier
from serving.ledger import TokensBefore, Usage

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
    with pytest.raises(PriceBookError, match="no price for the model 'summarizer' on the plan"):
        prices.price("summarizer", "standard", datetime.date(2025, 12, 31))


def test_a_charge_is_the_sum_of_its_parts(tmp_path: Path) -> None:
    prices = book(tmp_path)
    price = prices.price("summarizer", "standard", datetime.date(2026, 11, 25))
    usage = Usage("summarizer", "7", "f", 1, 101, 1, 1, "stop", 3)
    charge = prices.charge(price, usage, TokensBefore())
    # 100 * 400, 1 * 100 and 1 * 1600 thousandths
    assert [part.amount_micro for part in charge.parts] == [40, 0, 2]
    assert (charge.amount_micro, charge.currency, charge.price_id) == (42, "EUR", "2026-01")


def test_all_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    text = BOOK.replace('"EUR"', '"euro"').replace('plan = "standard"', "plan = 3", 1)
    text = text.replace("= 1200", "= -1").replace("2026-12-01", '"December"')
    with pytest.raises(PriceBookError) as wrong:
        book(tmp_path, text)
    assert str(wrong.value).splitlines()[1:] == [
        "- line 2: currency: A currency must be one of ISO 4217 that can be paid in, such as "
        "EUR, USD or JPY. Received: 'euro'",
        "- line 8: price 1: plan must be at most 63 letters, digits, '_', '.' and '-', and "
        "begin with a letter or digit. Received: 3",
        "- line 15: price 2: valid_from must be a date (2026-11-01). Received: 'December'",
        "- line 20: price 2: price_micro_per_1k_output_tokens must be an integer of 0 or more. "
        "Received: -1",
    ]


def test_books_that_contradict_themselves(tmp_path: Path) -> None:
    with pytest.raises(
        PriceBookError, match=r"line 13: price 2 has the same id as price 1: 20"
    ):
        book(tmp_path, BOOK.replace('"2026-12"', '"2026-01"'))
    with pytest.raises(PriceBookError, match="the same model, plan and date as price 1: summ"):
        book(tmp_path, BOOK.replace("2026-12-01", "2026-01-01"))
    with pytest.raises(PriceBookError, match=r"line 1: it has no \[\[prices\]\]"):
        book(tmp_path, 'currency = "EUR"')
    with pytest.raises(PriceBookError, match="Cannot read the price book"):
        PriceBook.load(tmp_path / "nothing.toml")


def test_a_mistake_hides_no_contradiction(tmp_path: Path) -> None:
    """Two prices of one id are found where both are wrong in other ways, too."""
    text = (
        BOOK.replace('"2026-12"', '"2026-01"')
        .replace("= 400", "= -4")
        .replace("= 300", "= 3.5")
    )
    with pytest.raises(PriceBookError) as wrong:
        book(tmp_path, text)
    assert [line.split(": ")[:2] for line in str(wrong.value).splitlines()[1:]] == [
        ["- line 9", "price 1"],
        ["- line 13", "price 2 has the same id as price 1"],
        ["- line 18", "price 2"],
    ]


@pytest.mark.parametrize("code", ["ZZZ", "XXX", "eur", ""])
def test_what_is_no_currency_has_no_prices(tmp_path: Path, code: str) -> None:
    with pytest.raises(PriceBookError, match=f"line 2: currency: .* Received: '{code}'"):
        book(tmp_path, BOOK.replace('"EUR"', f'"{code}"'))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            'currency = "EUR"\nprices = 3',
            "line 2: prices must be [[prices]] tables. Received: 3",
        ),
        ('currency = "EUR"\nprices = [3, {}]', "line 2: price 1: must be a table"),
        ('currency = "EUR"\nprices = [3, {}]', "line 2: price 2: id is missing"),
        ('currency = ["EUR"]', "line 1: currency: A currency must be"),
        ("", "line 1: currency: A currency must be"),
        (f"{BOOK}[prices.more]\n", "line 21: price 2: unknown: more"),
        (f"rate = 3\n{BOOK}", "line 1: unknown: rate"),
    ],
)
def test_books_of_another_shape(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(PriceBookError) as wrong:
        book(tmp_path, text)
    assert f"\n- {problem}" in str(wrong.value)


def test_the_example_is_a_price_book() -> None:
    example = PriceBook.load(Path(__file__).parents[3] / "examples" / "prices.toml")
    assert example.price("summarizer", "standard", datetime.date(2026, 11, 25)).id


def test_tiers_and_allowances_are_read(tmp_path: Path) -> None:
    tiers = """
free_input_tokens = 1_000
input_tiers = [
    { above_tokens = 5_000, price_micro_per_1k_tokens = 300 },
    { above_tokens = 9_000, price_micro_per_1k_tokens = 200 },
]
"""
    price = book(tmp_path, BOOK + tiers).prices[1]
    assert price.free_input_tokens == 1000
    assert price.input_tiers == (Tier(5000, 300), Tier(9000, 200))
    assert (price.free_output_tokens, price.output_tiers) == (0, ())


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "free_input_tokens = -1",
            "free_input_tokens must be an integer of 0 or more. Received: -1",
        ),
        ("free_input_tokens = 10000000000000000", "free_input_tokens must be at most"),
        ("free_tokens = 1", "unknown: free_tokens"),
        ("input_tiers = 3", "input_tiers must be an array of tables. Received: 3"),
        (
            "input_tiers = [{ above_tokens = 5 }]",
            "input_tiers, tier 2 must have the keys above_tokens, "
            "price_micro_per_1k_tokens. Received: ['above_tokens']",
        ),
        (
            "free_output_tokens = 9\noutput_tiers = "
            "[{ above_tokens = 9, price_micro_per_1k_tokens = 1 }]",
            "output_tiers, tier 2: above_tokens must be more than 9. Received: 9",
        ),
        (
            "cached_tiers = [{ above_tokens = 5, price_micro_per_1k_tokens = 1 }, "
            "{ above_tokens = 4, price_micro_per_1k_tokens = 1.5 }]",
            "cached_tiers, tier 3: above_tokens must be more than 5. Received: 4",
        ),
        (
            "input_tiers = [{ above_tokens = 5, price_micro_per_1k_tokens = 1.5 }]",
            "input_tiers, tier 2: price_micro_per_1k_tokens must be an integer of 0 or more. "
            "Received: 1.5",
        ),
    ],
)
def test_tiers_that_make_no_sense(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(PriceBookError) as wrong:
        book(tmp_path, f"{BOOK}\n{text}")
    assert f": price 2: {problem}" in str(wrong.value)
