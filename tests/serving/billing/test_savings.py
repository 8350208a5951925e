"""What a month costs by the token and by renting; the textbook case to the unit."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.billing.savings import SECONDS_A_MONTH, Renting, savings
from serving.billing.savings_plot import draw_savings

# An instance that does 100 tokens a second, at 3,000 a month and 30 % use.
TEXTBOOK = Renting(month_price=3000, tokens_per_second=100, use=0.3)
FULL_MONTH = 100 * SECONDS_A_MONTH
BUSY_MONTH = round(FULL_MONTH * 0.3)


def test_the_textbook_case() -> None:
    result = savings(BUSY_MONTH, 1_500_000_000, TEXTBOOK)
    assert result.rented == 3000
    assert result.idle == pytest.approx(2100)
    assert (result.by_token, result.saved) == (1500, 1500)
    assert result.autoscaled == pytest.approx(3000)
    # At that price one instance is the cheaper way from twice the usage on.
    assert result.break_even_tokens == pytest.approx(2 * BUSY_MONTH)


def test_more_than_one_instance_can_do_takes_another() -> None:
    assert TEXTBOOK.rented(BUSY_MONTH) == 3000
    assert TEXTBOOK.rented(BUSY_MONTH + 1) == 6000
    assert TEXTBOOK.autoscaled(BUSY_MONTH * 3 // 2) == pytest.approx(4500)


def test_a_month_without_usage() -> None:
    result = savings(0, 0, TEXTBOOK)
    assert (result.by_token, result.rented, result.idle) == (0, 3000, 3000)
    assert result.break_even_tokens == math.inf
    to_zero = Renting(month_price=3000, tokens_per_second=100, at_least=0, hourly_premium=1.5)
    assert savings(0, 0, to_zero).autoscaled == 0
    assert to_zero.autoscaled(BUSY_MONTH) == pytest.approx(4500)


@given(st.integers(0, 10 * FULL_MONTH), st.floats(0.01, 1))
def test_renting_always_has_room_for_what_is_used(tokens: int, use: float) -> None:
    renting = Renting(month_price=1, tokens_per_second=100, use=use)
    assert renting.rented(tokens) * renting.capacity * use >= tokens * (1 - 1e-9)
    assert renting.rented(tokens) >= renting.autoscaled(tokens) - 1e-9


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"month_price": 0}, "month_price must be above 0"),
        ({"tokens_per_second": math.nan}, "tokens_per_second must be above 0"),
        ({"use": 1.1}, "use must be a share of at most 1"),
        ({"at_least": -1}, "at_least must be at least 0"),
    ],
)
def test_values_that_make_no_sense(values: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Renting(**{"month_price": 1, "tokens_per_second": 1, **values})


def test_the_picture_is_one(tmp_path: Path) -> None:
    result = savings(BUSY_MONTH, 1_500_000_000, TEXTBOOK)
    picture = ET.fromstring(draw_savings(result, TEXTBOOK, "EUR"))
    texts = [element.text for element in picture.iter("{http://www.w3.org/2000/svg}text")]
    assert {"by the token", "rented by the month", "autoscaled", "EUR a month"} <= set(texts)
    lines = list(picture.iter("{http://www.w3.org/2000/svg}polyline"))
    assert [len(line.attrib["points"].split()) for line in lines] == [401] * 3
    draw_savings(savings(0, 0, TEXTBOOK), TEXTBOOK, "EUR")
