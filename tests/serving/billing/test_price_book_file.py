"""A running gateway follows its price book's file: a good one as a whole, a bad one never."""

from __future__ import annotations

import datetime
import logging
from pathlib import Path

import pytest

from serving.billing.price_book import PriceBookError
from serving.billing.price_book_file import PriceBookFile

NOW = datetime.datetime(2026, 11, 25, 12)
TODAY = NOW.date()
PRICES = """
currency = "EUR"

[[prices]]
id = "2026-11"
valid_from = 2026-11-01
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
price_micro_per_1k_input_tokens = 500
price_micro_per_1k_cached_tokens = 100
price_micro_per_1k_output_tokens = 1600
"""
LARGE = PRICES[PRICES.index("[[prices]]") : PRICES.rindex("[[prices]]")].replace(
    '"standard"', '"large"'
)
MORE = PRICES + LARGE.replace('"2026-11"', '"2026-large"')


class Followed:
    """A price book and what it told."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.write(PRICES)
        self.told: list[tuple[str, bool]] = []
        self.book = PriceBookFile(path, lambda: NOW, lambda *what: self.told.append(what))

    def write(self, text: str) -> None:
        self.path.write_text(text)

    def look(self, times: int = 2) -> list[bool]:
        return [self.book.follow() for _ in range(times)]

    def input_price(self, plan: str, day: datetime.date = TODAY) -> int:
        return self.book.price("summarizer", plan, day).price_micro_per_1k_input_tokens


@pytest.fixture
def followed(tmp_path: Path) -> Followed:
    return Followed(tmp_path / "prices.toml")


def test_a_changed_file_is_used_when_it_was_read_the_same_twice(followed: Followed) -> None:
    first = followed.book.fingerprint
    assert followed.look() == [False, False]
    with pytest.raises(PriceBookError, match="no price"):
        followed.input_price("large")
    followed.write(MORE)
    assert followed.look(3) == [False, True, False]
    assert followed.input_price("large") == 400
    assert followed.told == [(first, True), (followed.book.fingerprint, True)]
    assert first != followed.book.fingerprint


def test_half_of_a_file_is_not_used(followed: Followed) -> None:
    followed.write(PRICES + LARGE[:30])
    assert followed.look(1) == [False]
    followed.write(MORE)
    assert followed.look(1) == [False]
    assert len(followed.told) == 1
    assert followed.look(1) == [True]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("currency = ", "Cannot read the price book"),
        (PRICES.replace("= 1600", "= -1"), "is not valid"),
        (PRICES.replace("EUR", "USD"), "currency cannot change"),
        (PRICES.replace("= 400", "= 401"), "'2026-11' has been valid since 2026-11-01"),
        (PRICES.replace('"2026-11"', '"2026-11b"'), "'2026-11' has been valid"),
    ],
)
def test_a_bad_one_is_refused_once_in_the_log_and_the_former_stays(
    followed: Followed, text: str, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    book = followed.book.book
    followed.write(text)
    with caplog.at_level(logging.ERROR):
        assert followed.look(4) == [False] * 4
    assert [used for _, used in followed.told] == [True, False]
    (record,) = caplog.records
    assert why in record.getMessage() and followed.book.fingerprint in record.getMessage()
    assert followed.book.book is book
    # As it was, and then good again.
    followed.write(PRICES)
    assert followed.look() == [False, False]
    followed.write(MORE)
    assert followed.look() == [False, True]


def test_a_file_that_is_gone_for_a_while(followed: Followed) -> None:
    followed.path.unlink()
    assert followed.look(3) == [False] * 3
    assert [used for _, used in followed.told] == [True, False]
    assert followed.input_price("standard") == 400
    followed.write(MORE)
    assert followed.look() == [False, True]


def test_a_price_of_the_future_may_change(followed: Followed) -> None:
    followed.write(PRICES.replace("= 500", "= 600"))
    assert followed.look() == [False, True]
    assert followed.input_price("standard", datetime.date(2026, 12, 1)) == 600


def test_a_gateway_does_not_begin_with_a_bad_one(tmp_path: Path) -> None:
    with pytest.raises(PriceBookError, match="Cannot read"):
        PriceBookFile(tmp_path / "prices.toml")
