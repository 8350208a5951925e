"""Amounts have the decimals of their currency, and are rounded to the nearest."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.billing.currencies import (
    DECIMALS,
    CurrencyError,
    decimals_of,
    minor_units,
    money,
    rounded,
)


@pytest.mark.parametrize(
    ("currency", "decimals"),
    [("EUR", 2), ("USD", 2), ("JPY", 0), ("KRW", 0), ("HUF", 2), ("KWD", 3), ("CLF", 4)],
)
def test_decimals_are_those_of_the_standard(currency: str, decimals: int) -> None:
    assert decimals_of(currency) == decimals


@pytest.mark.parametrize("code", ["ZZZ", "XXX", "XTS", "XAU", "eur", "", "EURO"])
def test_what_nobody_can_pay_in_is_no_currency(code: str) -> None:
    with pytest.raises(CurrencyError, match="one of ISO 4217"):
        decimals_of(code)


def test_the_table_is_whole() -> None:
    """Of 178 codes of List One, 13 have no decimals."""
    assert len(DECIMALS) == 178 - 13


@pytest.mark.parametrize(
    ("amount_micro", "currency", "expected"),
    [
        (4_999, "EUR", "0.00"),
        (5_000, "EUR", "0.01"),
        (-5_000, "EUR", "-0.01"),
        (-4_999, "EUR", "0.00"),
        (10**12, "EUR", "1000000.00"),
        (1_499_999, "JPY", "1"),
        (1_500_000, "JPY", "2"),
        (-1_500_000, "JPY", "-2"),
        (1_234_567, "KWD", "1.235"),
        (1_234_567, "CLF", "1.2346"),
    ],
)
def test_rounding(amount_micro: int, currency: str, expected: str) -> None:
    decimals = decimals_of(currency)
    assert money(minor_units(amount_micro, decimals), decimals) == expected


@given(st.integers(-(10**15), 10**15), st.integers(1, 10**6))
def test_rounding_is_to_the_nearest_and_the_same_both_ways(top: int, bottom: int) -> None:
    result = rounded(top, bottom)
    assert abs(Fraction(top, bottom) - result) <= Fraction(1, 2)
    assert rounded(-top, bottom) == -result
    if (2 * abs(top)) % bottom == 0 and (2 * abs(top) // bottom) % 2:
        assert abs(result) == (2 * abs(top) // bottom + 1) // 2


@given(st.integers(-(10**15), 10**15), st.sampled_from(sorted(set(DECIMALS.values()))))
def test_money_says_the_amount(amount: int, decimals: int) -> None:
    assert Fraction(money(amount, decimals)) == Fraction(amount, 10**decimals)
