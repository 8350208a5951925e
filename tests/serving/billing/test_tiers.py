"""Free allowances and graduated tiers: what a request costs depends on where it begins."""

from __future__ import annotations

import datetime
import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.billing import Price, PriceBook, Tier
from serving.ledger import TokensBefore, Usage
from serving.ledger.parts import METERS

# 100 free, then 400, from the 1,001st on 300, from the 2,001st on 0 for 1,000 tokens.
INPUT = Price(
    "p",
    datetime.date(2026, 1, 1),
    "summarizer",
    "volume",
    400,
    100,
    1600,
    free_input_tokens=100,
    input_tiers=(Tier(1000, 300), Tier(2000, 0)),
)


def usage(input_tokens: int, cached_tokens: int = 0, output_tokens: int = 0) -> Usage:
    return Usage(
        "summarizer", "7", "f", 1, input_tokens, cached_tokens, output_tokens, "stop", 1
    )


def whole(price: Price, tokens: int, meter: str = "input") -> int:
    """What a month's tokens cost, as finance would add them up: tier by tier, rounded once."""
    free = getattr(price, f"free_{meter}_tokens")
    base = Tier(free, getattr(price, f"price_micro_per_1k_{meter}_tokens"))
    tiers = [base, *getattr(price, f"{meter}_tiers")]
    total = 0
    for tier, after in zip(tiers, [*tiers[1:], Tier(10**18, 0)], strict=True):
        inside = max(0, min(tokens, after.above_tokens) - tier.above_tokens)
        total += (2 * inside * tier.price_micro_per_1k_tokens + 1000) // 2000
    return total


@pytest.mark.parametrize(
    ("before", "tokens", "expected"),
    [
        (0, 100, [(0, 100, 0)]),
        (0, 101, [(0, 100, 0), (1, 1, 0)]),
        (99, 2, [(0, 1, 0), (1, 1, 0)]),
        (100, 10, [(1, 10, 4)]),
        (101, 2, [(1, 2, 1)]),  # 0.4 to 1.2
        (990, 20, [(1, 10, 4), (2, 10, 3)]),
        (0, 3000, [(0, 100, 0), (1, 900, 360), (2, 1000, 300), (3, 1000, 0)]),
        (2500, 1, [(3, 1, 0)]),
        (1000, 0, []),
    ],
)
def test_a_request_is_split_where_the_price_changes(
    before: int, tokens: int, expected: list[tuple[int, int, int]]
) -> None:
    parts = INPUT.parts(usage(tokens), TokensBefore(before))
    assert [(part.tier, part.tokens, part.amount_micro) for part in parts] == expected


def test_kinds_of_tokens_are_counted_apart() -> None:
    """What is cached and what is written uses up no allowance of the input's."""
    parts = INPUT.parts(usage(150, 50, 10), TokensBefore(5080, 5000, 7))
    assert [(p.meter, p.tier, p.tokens, p.amount_micro) for p in parts] == [
        ("input", 0, 20, 0),
        ("input", 1, 80, 32),
        ("cached", 1, 50, 5),
        ("output", 1, 10, 16),
    ]


prices_micro = st.integers(0, 3000)


@st.composite
def a_price(draw: st.DrawFn) -> Price:
    def tiers(free: int) -> tuple[Tier, ...]:
        lengths = draw(st.lists(st.integers(1, 60), max_size=3))
        above = [free + sum(lengths[: place + 1]) for place in range(len(lengths))]
        return tuple(Tier(each, draw(prices_micro)) for each in above)

    free: dict[str, Any] = {
        f"free_{meter}_tokens": draw(st.integers(0, 60)) for meter in METERS
    }
    base: dict[str, Any] = {
        f"price_micro_per_1k_{meter}_tokens": draw(prices_micro) for meter in METERS
    }
    ladders: dict[str, Any] = {
        f"{meter}_tiers": tiers(free[f"free_{meter}_tokens"]) for meter in METERS
    }
    day = datetime.date(2026, 1, 1)
    return Price("p", day, "summarizer", "volume", **free, **base, **ladders)


@st.composite
def a_usage(draw: st.DrawFn) -> Usage:
    input_tokens = draw(st.integers(0, 40))
    return usage(input_tokens, draw(st.integers(0, input_tokens)), draw(st.integers(0, 40)))


def amounts(price: Price, requests: list[Usage]) -> list[int]:
    """What the requests of a month cost, one after another."""
    book, before, charged = PriceBook("EUR", (price,)), TokensBefore(), []
    for each in requests:
        charged.append(book.charge(price, each, before).amount_micro)
        before = TokensBefore(
            before.input_tokens + each.input_tokens,
            before.cached_tokens + each.cached_tokens,
            before.output_tokens + each.output_tokens,
        )
    return charged


@given(a_price(), st.lists(a_usage(), max_size=12), st.randoms(use_true_random=False))
def test_a_month_costs_what_its_tokens_cost_as_one_in_any_order(
    price: Price, requests: list[Usage], order: random.Random
) -> None:
    """To the millionth: there is no rounding that adds up."""
    cached = sum(each.cached_tokens for each in requests)
    expected = (
        whole(price, sum(each.input_tokens for each in requests) - cached)
        + whole(price, cached, "cached")
        + whole(price, sum(each.output_tokens for each in requests), "output")
    )
    charged = amounts(price, requests)
    assert sum(charged) == expected
    assert all(amount >= 0 for amount in charged)
    order.shuffle(requests)
    assert sum(amounts(price, requests)) == expected


@given(a_price(), a_usage(), a_usage(), st.integers(0, 20), st.integers(0, 20))
def test_a_request_never_costs_more_than_is_reserved_for_it(
    price: Price, before: Usage, used: Usage, more_input: int, more_output: int
) -> None:
    """In whichever tier it falls, and however little of what it might have used it uses."""
    at = TokensBefore(before.input_tokens, before.cached_tokens, before.output_tokens)
    charged = sum(part.amount_micro for part in price.parts(used, at))
    most = price.most_micro(used.input_tokens + more_input, used.output_tokens + more_output)
    assert charged <= most


@given(a_price(), st.integers(0, 10**6), st.integers(0, 10**6))
def test_what_is_reserved_is_not_much_more_than_the_dearest_tier(
    price: Price, input_tokens: int, output_tokens: int
) -> None:
    """So that a budget is not refused for nothing: a millionth for each tier at most."""

    def dearest(*meters: str) -> int:
        return max(
            each
            for meter in meters
            for each in (
                getattr(price, f"price_micro_per_1k_{meter}_tokens"),
                *(tier.price_micro_per_1k_tokens for tier in getattr(price, f"{meter}_tiers")),
            )
        )

    exact = input_tokens * dearest("input", "cached") + output_tokens * dearest("output")
    tiers = 3 + len(price.input_tiers) + len(price.cached_tiers) + len(price.output_tiers)
    assert price.most_micro(input_tokens, output_tokens) <= exact / 1000 + tiers


def test_the_most_of_whole_prices_is_exact() -> None:
    price = replace(INPUT, price_micro_per_1k_input_tokens=1000, input_tiers=())
    assert price.most_micro(8, 0) == 8
    assert price.most_micro(0, 0) == 0
    assert replace(price, price_micro_per_1k_output_tokens=10_000).most_micro(8, 4) == 48


@given(a_price(), st.integers(0, 10**6), st.integers(0, 10**6))
def test_the_base_price_is_what_is_charged_without_allowance_and_tiers(
    price: Price, input_tokens: int, output_tokens: int
) -> None:
    flat = Price(
        "flat",
        price.valid_from,
        price.model,
        price.plan,
        price.price_micro_per_1k_input_tokens,
        price.price_micro_per_1k_cached_tokens,
        price.price_micro_per_1k_output_tokens,
    )
    parts = flat.parts(usage(input_tokens, 0, output_tokens), TokensBefore())
    charged = sum(part.amount_micro for part in parts)
    assert price.base_micro(input_tokens, output_tokens) == charged


def test_the_base_price_knows_no_allowance_and_no_tier() -> None:
    assert INPUT.base_micro(3000, 10) == 1200 + 16
    assert INPUT.base_micro(0, 0) == 0
