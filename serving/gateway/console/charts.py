"""Charts as numbers: `templates/chart.html` draws them as SVG, on the server."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from serving.gateway.administration.overview import Day

WIDTH: Final = 440
HEIGHT: Final = 190
_LEFT: Final = 92
_TOP: Final = 10
_BOTTOM: Final = 30
_RIGHT: Final = 26
_TICKS: Final = 4
_LABELS: Final = 5
DAYS: Final = 30


@dataclass(frozen=True, slots=True)
class Bar:
    """A day: where its bar stands, in the chart's units, and what it says."""

    x: float
    y: float
    width: float
    height: float
    label: str
    value: str


@dataclass(frozen=True, slots=True)
class Tick:
    """A line or a text at a position, in the chart's units."""

    at: float
    text: str


@dataclass(frozen=True, slots=True)
class Chart:
    """
    Attributes:
      id: of its elements in the page.
      total: of all bars.
      ticks: of the values; labels: of the days.
    """

    id: str
    title: str
    total: str
    bars: tuple[Bar, ...]
    ticks: tuple[Tick, ...]
    labels: tuple[Tick, ...]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = _LEFT
    right: int = WIDTH - _RIGHT
    bottom: int = HEIGHT - _BOTTOM


def first_day(now: datetime.datetime) -> str:
    """The first day of a chart that ends today."""
    return (now.date() - datetime.timedelta(days=DAYS - 1)).isoformat()


def charts_of(
    days: Sequence[Day], now: datetime.datetime, money: Callable[[int], str], currency: str
) -> list[Chart]:
    """Requests, tokens and money of the last `DAYS` days; days without usage are 0.

    Args:
      money: an amount in millionths as a text.
    """
    by_day = {each.day: each for each in days}
    today = now.date()
    dates = [
        (today - datetime.timedelta(days=DAYS - 1 - number)).isoformat()
        for number in range(DAYS)
    ]
    nothing = Day("", 0, 0, 0, 0, 0)
    used = [by_day.get(date, nothing) for date in dates]

    def chart(name: str, title: str, values: list[int], shown: Callable[[int], str]) -> Chart:
        return _chart(name, f"{title}, last {DAYS} days", dates, values, shown)

    return [
        chart("requests", "Requests by day", [each.requests for each in used], counted),
        chart(
            "tokens",
            "Tokens by day",
            [each.input_tokens + each.output_tokens for each in used],
            counted,
        ),
        chart("money", f"{currency} by day", [each.amount_micro for each in used], money),
    ]


def counted(value: int) -> str:
    """A count with commas."""
    return f"{value:,}"


def _chart(
    name: str,
    title: str,
    dates: Sequence[str],
    values: Sequence[int],
    shown: Callable[[int], str],
) -> Chart:
    step = _step(max(map(abs, values)))
    least, most = min(0, *values) // step * step, -(-max(0, *values) // step) * step
    if least == most:
        most = step
    high = HEIGHT - _TOP - _BOTTOM
    wide = (WIDTH - _LEFT - _RIGHT) / len(values)

    def y(value: int) -> float:
        return round(_TOP + high * (most - value) / (most - least), 2)

    bars = tuple(
        Bar(
            x=round(_LEFT + wide * number + wide * 0.12, 2),
            y=y(max(value, 0)),
            width=round(wide * 0.76, 2),
            height=round(abs(y(value) - y(0)), 2),
            label=date,
            value=shown(value),
        )
        for number, (date, value) in enumerate(zip(dates, values, strict=True))
    )
    every = max(1, (len(values) - 1) // (_LABELS - 1))
    return Chart(
        id=name,
        title=title,
        total=shown(sum(values)),
        bars=bars,
        ticks=tuple(Tick(y(value), shown(value)) for value in range(least, most + 1, step)),
        labels=tuple(
            Tick(round(_LEFT + wide * (number + 0.5), 2), dates[number][5:])
            for number in range(len(values) - 1, -1, -every)
        ),
    )


def _step(most: int) -> int:
    """Of 1, 2 or 5 times a power of ten: at most `_TICKS` steps reach the largest value."""
    power = 1
    while True:
        for factor in (1, 2, 5):
            if factor * power * _TICKS >= most:
                return factor * power
        power *= 10
