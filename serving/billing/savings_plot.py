"""Costs of a month over its tokens, as a picture: by the token, rented, autoscaled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from jinja2 import Environment, StrictUndefined

from serving.billing.savings import Renting, Savings

_WIDTH: Final = 720
_HEIGHT: Final = 400
_LEFT, _RIGHT, _TOP, _BOTTOM = 90, 20, 20, 60
_STEPS: Final = 400

_PICTURE: Final = """<svg xmlns="http://www.w3.org/2000/svg" \
viewBox="0 0 {{ width }} {{ height }}" \
font-family="sans-serif" font-size="12">
<rect width="100%" height="100%" fill="white"/>
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
<line x1="{{ here }}" x2="{{ here }}" y1="{{ top }}" y2="{{ bottom }}" stroke="black" \
stroke-dasharray="4"/>
<text x="{{ here + 4 }}" y="{{ bottom - 6 }}">this month</text>
<text x="{{ (left + right) / 2 }}" y="{{ height - 12 }}" text-anchor="middle">\
million tokens a month</text>
<text transform="translate(16 {{ (top + bottom) / 2 }}) rotate(-90)" text-anchor="middle">\
{{ currency }} a month</text>
</svg>
"""


def draw_savings(result: Savings, renting: Renting, currency: str) -> str:
    """An SVG of what other amounts of usage would cost, at the same price by the token."""
    most_tokens = 2 * max(result.tokens, 1)
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
        here=x(result.tokens),
        currency=currency,
        x_ticks=[
            (x(most_tokens * i / 4), f"{most_tokens * i / 4 / 1e6:,.4g}") for i in range(5)
        ],
        y_ticks=[(y(highest * i / 4), f"{highest * i / 4:,.4g}") for i in range(5)],
    )
