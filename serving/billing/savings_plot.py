"""Costs of a month over its tokens, as a picture: by the token, rented, autoscaled.

Its ticks are round numbers as people write them: ``500M``, ``2B``; ``$3,000``, ``3,000 CHF``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from jinja2 import Environment, StrictUndefined

from serving.billing.savings import Renting, Savings

_WIDTH: Final = 720
_HEIGHT: Final = 400
_LEFT, _RIGHT, _TOP, _BOTTOM = 90, 30, 50, 60
_STEPS: Final = 400
_TICKS: Final = 6  # at most, beside 0
_SIGNS: Final = {"EUR": "€", "GBP": "£", "JPY": "¥", "USD": "$"}
_WORDS: Final = ((10**12, "T"), (10**9, "B"), (10**6, "M"), (10**3, "k"))

_PICTURE: Final = """<svg xmlns="http://www.w3.org/2000/svg" \
viewBox="0 0 {{ width }} {{ height }}" \
font-family="sans-serif" font-size="12">
<title>{{ title }}</title>
<rect width="100%" height="100%" fill="white"/>
<text x="{{ (left + right) / 2 }}" y="28" text-anchor="middle" font-size="16">{{ title }}</text>
{%- for x, label in x_ticks %}
<line x1="{{ x }}" x2="{{ x }}" y1="{{ top }}" y2="{{ bottom }}" stroke="#ddd"/>
<text x="{{ x }}" y="{{ bottom + 18 }}" text-anchor="middle">{{ label }}</text>
{%- endfor %}
{%- for y, label in y_ticks %}
<line x1="{{ left }}" x2="{{ right }}" y1="{{ y }}" y2="{{ y }}" stroke="#ddd"/>
<text x="{{ left - 8 }}" y="{{ y + 4 }}" text-anchor="end">{{ label }}</text>
{%- endfor %}
{%- for name, colour, points, place in lines %}
<polyline points="{{ points }}" fill="none" stroke="{{ colour }}" stroke-width="2"/>
<text x="{{ left + 12 }}" y="{{ top + 18 + 18 * place }}" fill="{{ colour }}">{{ name }}</text>
{%- endfor %}
{%- for at, name in marks %}
<line x1="{{ at }}" x2="{{ at }}" y1="{{ top }}" y2="{{ bottom }}" stroke="black" \
stroke-dasharray="4"/>
<text x="{{ at + 4 }}" y="{{ bottom - 6 }}">{{ name }}</text>
{%- endfor %}
<text x="{{ (left + right) / 2 }}" y="{{ height - 12 }}" text-anchor="middle">\
tokens a month</text>
<text transform="translate(16 {{ (top + bottom) / 2 }}) rotate(-90)" text-anchor="middle">\
cost of a month{{ ", " ~ currency if currency }}</text>
</svg>
"""


def draw_savings(result: Savings, renting: Renting, currency: str, title: str) -> str:
    """Draw, as SVG, what other amounts of usage would cost at the same price by the token.

    Args:
      currency: code of ISO 4217; empty if there is no usage.
    """
    most_tokens = 2 * max(result.tokens, 1)
    if result.break_even_tokens < 2 * most_tokens:
        most_tokens = max(most_tokens, round(1.2 * result.break_even_tokens))
    price = result.by_token / result.tokens if result.tokens else 0.0
    curves: dict[str, tuple[str, Callable[[int], float]]] = {
        "by the token": ("#0a7", lambda tokens: price * tokens),
        "rented by the month": ("#c33", renting.rented),
        "autoscaled": ("#36c", renting.autoscaled),
    }
    amounts = [round(most_tokens * step / _STEPS) for step in range(_STEPS + 1)]
    highest = 1.05 * max(cost(tokens) for _, cost in curves.values() for tokens in amounts)
    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM

    def x(tokens: float) -> float:
        return round(_LEFT + (right - _LEFT) * tokens / most_tokens, 1)

    def y(cost: float) -> float:
        return round(bottom - (bottom - _TOP) * cost / highest, 1)

    lines = [
        (name, colour, " ".join(f"{x(t)},{y(cost(t))}" for t in amounts), place)
        for place, (name, (colour, cost)) in enumerate(curves.items())
    ]
    environment = Environment(autoescape=True, undefined=StrictUndefined)
    return environment.from_string(_PICTURE).render(
        width=_WIDTH,
        height=_HEIGHT,
        left=_LEFT,
        right=right,
        top=_TOP,
        bottom=bottom,
        lines=lines,
        marks=[
            (x(tokens), name)
            for tokens, name in (
                (result.tokens, "this month"),
                (result.break_even_tokens, "break-even"),
            )
            if tokens <= most_tokens
        ],
        title=title,
        currency=currency,
        x_ticks=[(x(each), _count(each)) for each in _round_numbers(most_tokens)],
        y_ticks=[(y(each), _cost(each, currency)) for each in _round_numbers(highest)],
    )


def _round_numbers(most: float) -> list[float]:
    """0 and a few multiples of 1, 2 or 5 times a power of ten, up to `most`."""
    power = 10.0 ** math.floor(math.log10(most / _TICKS))
    step = next(power * times for times in (1, 2, 5, 10) if most / (power * times) <= _TICKS)
    return [step * number for number in range(math.floor(most / step) + 1)]


def _count(tokens: float) -> str:
    for unit, word in _WORDS:
        if tokens >= unit:
            return f"{tokens / unit:g}{word}"
    return f"{tokens:g}"


def _cost(amount: float, currency: str) -> str:
    shown = f"{amount:,.0f}" if amount == round(amount) else f"{amount:,.10g}"
    sign = _SIGNS.get(currency)
    return f"{sign}{shown}" if sign else f"{shown} {currency}".rstrip()
