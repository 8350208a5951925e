"""What a month costs by the token and by renting; the textbook case to the unit."""

from __future__ import annotations

import datetime
import math
import re
import shlex
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from pipelines.cli import app
from serving.billing import PriceBook
from serving.billing.savings import SECONDS_A_MONTH, Renting, savings, told
from serving.billing.savings_plot import draw_savings
from serving.ledger import Ledger, Reservation, TokensBefore, Usage
from serving.ledger.database import open_database
from tests.support.fresh_ledger import sqlite_ledger
from tests.support.tenants import add_tenant

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
    assert result.use == pytest.approx(0.3)
    # At that price one instance is the cheaper way from twice the usage on.
    assert result.break_even_tokens == pytest.approx(2 * BUSY_MONTH)
    assert result.break_even_use == pytest.approx(0.6)
    assert result.million.by_token == pytest.approx(1500 / (BUSY_MONTH / 1e6))
    assert result.million.rented == pytest.approx(3000 / (BUSY_MONTH / 1e6))


def test_more_than_one_instance_can_do_takes_another() -> None:
    assert TEXTBOOK.rented(BUSY_MONTH) == 3000
    assert TEXTBOOK.rented(BUSY_MONTH + 1) == 6000
    assert TEXTBOOK.autoscaled(BUSY_MONTH * 3 // 2) == pytest.approx(4500)


def test_a_month_without_usage() -> None:
    result = savings(0, 0, TEXTBOOK)
    assert (result.by_token, result.rented, result.idle) == (0, 3000, 3000)
    assert (result.break_even_tokens, result.use) == (math.inf, 0)
    assert math.isnan(result.million.rented)
    assert told(result, TEXTBOOK, "", "2026-11")[-1] == (
        "break-even: never: the tokens cost nothing"
    )
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


SVG = "{http://www.w3.org/2000/svg}"


def texts(picture: str) -> list[str]:
    return [element.text or "" for element in ET.fromstring(picture).iter(f"{SVG}text")]


def test_the_picture_has_a_title_and_numbers_people_read() -> None:
    result = savings(BUSY_MONTH, 1_500_000_000, TEXTBOOK)
    drawn = draw_savings(result, TEXTBOOK, "USD", "a < b")
    picture = ET.fromstring(drawn)
    assert picture.find(f"{SVG}title").text == "a < b"
    said = texts(drawn)
    assert said[0] == "a < b"
    assert {"by the token", "rented by the month", "autoscaled", "this month"} <= set(said)
    assert {"break-even", "tokens a month", "cost of a month, USD"} <= set(said)
    assert {"0", "50M", "100M", "150M", "$0", "$2,000", "$4,000", "$6,000"} <= set(said)
    lines = list(picture.iter(f"{SVG}polyline"))
    assert [len(line.attrib["points"].split()) for line in lines] == [401] * 3


def test_a_picture_of_nothing() -> None:
    said = texts(draw_savings(savings(0, 0, TEXTBOOK), TEXTBOOK, "", "nothing"))
    assert "break-even" not in said
    assert {"0", "1", "2", "1,000", "3,000"} <= set(said)


@settings(max_examples=30)
@given(st.integers(0, 10**14), st.integers(0, 10**14), st.floats(0.01, 10**7))
def test_ticks_are_few_and_short(tokens: int, cost_micro: int, month_price: float) -> None:
    renting = Renting(month_price=month_price, tokens_per_second=100)
    said = texts(draw_savings(savings(tokens, cost_micro, renting), renting, "CHF", "t"))
    x_ticks = [each for each in said if re.fullmatch(r"[0-9.]+[kMBT]?", each)]
    y_ticks = [each for each in said if re.fullmatch(r"[0-9.,]+ CHF", each)]
    assert 2 <= len(x_ticks) <= 7 and 2 <= len(y_ticks) <= 7
    assert max(len(each) for each in x_ticks) <= 5


def test_the_example_for_finance_is_what_the_command_says(tmp_path: Path) -> None:
    """Its command, on a ledger with its tokens, at the prices of the example's price book."""
    root = Path(__file__).parents[3]
    page = (
        (root / "docs/for/finance.md").read_text().partition("## By the token, or renting?")[2]
    )
    command, printed = re.findall(r"^```\w*\n(.*?)^```$", page, re.M | re.S)
    book = PriceBook.load(root / "examples/prices.toml")
    price = book.price("summarizer", "standard", datetime.date(2026, 11, 25))
    url = sqlite_ledger(tmp_path)
    engine = open_database(url)
    add_tenant(engine)
    ledger = Ledger(engine, "gateway-0", lambda: datetime.datetime(2026, 11, 25))
    usage = Usage("summarizer", "7", "f", 1, 1_261_440_000, 0, 315_360_000, "stop", 1)
    charge = book.charge(price, usage, TokensBefore())
    ledger.reserve(Reservation("r1", "acme", charge.amount_micro, "0" * 64))
    ledger.settle("r1", usage, charge, b"")
    engine.dispose()
    words = shlex.split(command)
    assert words[0] == ".venv/bin/tallygraph"
    words[-1] = str(tmp_path / words[-1])
    runner = CliRunner(env={"TALLYGRAPH_DATABASE": url, "COLUMNS": "80"})
    result = runner.invoke(app, words[1:])
    assert result.exit_code == 0, result.output
    assert result.output.replace(f"{words[-1]}\n", "") == f"{printed}drawn: "
    said = texts((tmp_path / "savings.svg").read_text())
    assert {"1B", "5B", "€0", "€5,000", "break-even"} <= set(said)
    assert "504.58 + 504.58 = 1,009.15 EUR" in " ".join(page.split())
