"""Numbers on the console's pages: they are the ledger's, and its charts show them whole."""

from __future__ import annotations

import datetime
from decimal import Decimal

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.gateway.administration.overview import Day
from serving.gateway.console.charts import DAYS, HEIGHT, WIDTH, charts_of, counted
from serving.gateway.console.figures import money_in
from serving.gateway.console.forms import Form
from tests.serving.gateway.console_client import ConsoleClient, Markup, charge
from tests.serving.gateway.test_console_pages import (
    ON_BOTH,
    Clock,
    clock,
    console,
    gateway,
    visitor,
)
from tests.support.running_gateway import RunningGateway

__all__ = ["clock", "console", "gateway", "visitor"]

NOW = datetime.datetime(2026, 11, 10, 12)


@ON_BOTH
def test_the_overview_adds_up_all_tenants(
    gateway: RunningGateway, console: ConsoleClient, clock: Clock
) -> None:
    for tenant in ("first", "second"):
        gateway.key(tenant)
    for number in range(3):
        charge(gateway.engine, clock, "first" if number else "second", str(number))
    text = " ".join(Markup(console.get()).text.split())
    assert "Tenants 2 Active in 2026-11 2 Spent in 2026-11, EUR 0.00072" in text
    assert "Requests by day, last 30 days 3 " in text
    assert "Tokens by day, last 30 days 450 " in text
    assert "2026-11-10: 450" in text
    assert "first 0.00048 none second 0.00024 none" in text


@ON_BOTH
def test_a_tenants_page_tells_its_usage(
    gateway: RunningGateway, console: ConsoleClient, clock: Clock
) -> None:
    key_id = gateway.key("acme").split("_")[1]
    charge(gateway.engine, clock, "acme", "one", key_id=key_id)
    charge(gateway.engine, clock, "acme", "two", model="other")
    text = " ".join(Markup(console.get("/tenants/acme")).text.split())
    assert f"(unknown) 1 120 20 30 0.00024 {key_id} 1 120 20 30 0.00024" in text
    assert "other 1 120 20 30 0.00024 summarizer 1 120 20 30 0.00024" in text
    assert "2026-11 2 0.00048 page · PDF" in text


@ON_BOTH
def test_lines_come_in_pages(
    gateway: RunningGateway, console: ConsoleClient, clock: Clock
) -> None:
    gateway.key("acme")
    for number in range(51):
        charge(gateway.engine, clock, "acme", str(number))
    first = console.get("/tenants/acme/entries")
    assert "entries?before=2" in first and ">51<" in first
    second = console.get("/tenants/acme/entries?before=2")
    assert "Older entries" not in second and ">1<" in second and ">51<" not in second


@ON_BOTH
def test_tenants_and_changes_come_in_pages(
    gateway: RunningGateway, console: ConsoleClient
) -> None:
    from serving.gateway.administration import Administrator, create_tenant

    by = Administrator(gateway.engine, "test")
    for number in range(51):
        create_tenant(by, f"t{number:02d}", "standard")
    assert "tenants?after=t49" in console.get("/tenants")
    page = console.get("/tenants?after=t49")
    assert "t50" in page and "t49</a>" not in page and "Next page" not in page
    log = console.get("/audit-log")
    assert "audit-log?before=2" in log
    assert "tenant.create" in console.get("/audit-log?before=2")
    assert "t07" in console.get("/audit-log?tenant=t07")


def test_refused_requests_are_counted(gateway: RunningGateway, console: ConsoleClient) -> None:
    with gateway.client("nobody's key") as client:
        body = {"model": "summarizer", "text": "one"}
        assert client.post("/v1/summaries", json=body).status_code == httpx.codes.UNAUTHORIZED
    assert "invalid_api_key 1" in " ".join(Markup(console.get()).text.split())


_DAYS = st.lists(
    st.tuples(st.integers(0, DAYS + 3), st.integers(-(10**6), 10**15)), max_size=DAYS
)


@given(_DAYS)
def test_charts_show_every_value_inside(values: list[tuple[int, int]]) -> None:
    days = [
        Day((NOW.date() - datetime.timedelta(days=ago)).isoformat(), max(v, 0), 1, 0, 1, v)
        for ago, v in dict(values).items()
    ]
    for chart in charts_of(days, NOW, money_in(2), "EUR"):
        assert len(chart.bars) == DAYS and chart.bars[-1].label == "2026-11-10"
        assert 2 <= len(chart.ticks) <= 12 and len({t.text for t in chart.ticks}) == len(
            chart.ticks
        )
        for bar in chart.bars:
            assert bar.x >= 0 and bar.x + bar.width <= WIDTH
            assert bar.y >= 0 and bar.y + bar.height <= HEIGHT
            assert bar.height == 0 or bar.width > 0
    shown = sum(each.requests for each in days if _in_chart(each.day))
    assert charts_of(days, NOW, money_in(2), "EUR")[0].total == counted(shown)


def _in_chart(day: str) -> bool:
    return (NOW.date() - datetime.date.fromisoformat(day)).days < DAYS


@given(st.integers(-(10**15), 10**15), st.sampled_from([0, 2, 3]))
def test_money_is_shown_exactly(amount_micro: int, decimals: int) -> None:
    shown = money_in(decimals)(amount_micro)
    assert Decimal(shown.replace(",", "")) * 1_000_000 == amount_micro
    assert len(shown.partition(".")[2]) >= decimals


@given(st.integers(-(10**17), 10**17))
def test_money_in_a_form_is_read_exactly(amount_micro: int) -> None:
    text = f"{Decimal(amount_micro) / 1_000_000:f}"
    assert Form({"amount": [text]}).money("amount") == amount_micro


@pytest.mark.parametrize("amount", [0, 1, 999_999])
def test_a_chart_of_little_has_readable_ticks(amount: int) -> None:
    days = [Day("2026-11-10", amount, 0, 0, 0, amount)]
    requests, _, money = charts_of(days, NOW, money_in(2), "EUR")
    assert requests.ticks[0].text == "0"
    assert money.ticks[0].text == "0.00" and len(money.ticks) <= 6
