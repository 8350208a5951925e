"""Prices by model, plan and date, from a TOML file.

::

    currency = "EUR"

    [[prices]]
    id = "2026-11"               # for ever: entries of the ledger name it
    valid_from = 2026-11-01      # its first day, UTC; it holds until the next one
    model = "summarizer"
    plan = "standard"
    price_micro_per_1k_input_tokens = 400
    price_micro_per_1k_cached_tokens = 100
    price_micro_per_1k_output_tokens = 1600

A new price is a new entry; an old one is never edited, so that an old invoice never changes.
"""

from __future__ import annotations

import datetime
import re
import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final, Self

from serving.ledger.records import Charge, Usage

MAX_PRICE_MICRO: Final = 10**12
_CURRENCY: Final = re.compile(r"[A-Z]{3}")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")


class PriceBookError(ValueError):
    """A price book that cannot be used, or that has no price; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Price:
    """What the tokens of a model cost on a plan; see the module for the fields' meaning."""

    id: str
    valid_from: datetime.date
    model: str
    plan: str
    price_micro_per_1k_input_tokens: int
    price_micro_per_1k_cached_tokens: int
    price_micro_per_1k_output_tokens: int

    def amount_micro(self, input_tokens: int, cached_tokens: int, output_tokens: int) -> int:
        """What a request costs, rounded once, half up, to a millionth.

        Args:
          input_tokens: cached ones included.
          cached_tokens: of the input, those at the price of cached ones.
        """
        thousandths = (
            (input_tokens - cached_tokens) * self.price_micro_per_1k_input_tokens
            + cached_tokens * self.price_micro_per_1k_cached_tokens
            + output_tokens * self.price_micro_per_1k_output_tokens
        )
        return (thousandths + 500) // 1000


@dataclass(frozen=True, slots=True)
class PriceBook:
    """All prices there have been, in one currency."""

    currency: str
    prices: tuple[Price, ...]

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a price book.

        Raises:
          PriceBookError: the file is missing, no TOML, or wrong; with all that is wrong.
        """
        try:
            document = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise PriceBookError(f"Cannot read the price book {path}: {error}") from None
        problems: list[str] = []
        currency = document.get("currency")
        if not isinstance(currency, str) or not _CURRENCY.fullmatch(currency):
            problems.append(f"currency must be ISO 4217, such as EUR. Received: {currency!r}")
        if unknown := sorted(set(document) - {"currency", "prices"}):
            problems.append(f"unknown: {', '.join(unknown)}")
        prices = []
        for place, values in enumerate(document.get("prices", []), start=1):
            if found := _problems(values):
                problems += [f"price {place}: {each}" for each in found]
            else:
                prices.append(Price(**values))
        problems += _conflicts(prices)
        if not problems and not prices:
            problems.append("it has no [[prices]]")
        if problems:
            raise PriceBookError(f"The price book {path} is wrong:\n- " + "\n- ".join(problems))
        return cls(str(currency), tuple(prices))

    def price(self, model: str, plan: str, day: datetime.date) -> Price:
        """The price that holds on a day, UTC.

        Raises:
          PriceBookError: there is none.
        """
        holding = [
            price
            for price in self.prices
            if (price.model, price.plan) == (model, plan) and price.valid_from <= day
        ]
        if not holding:
            raise PriceBookError(
                f"The price book has no price of the model {model!r} on the plan {plan!r} for "
                f"{day}. Add one."
            )
        return max(holding, key=lambda price: price.valid_from)

    def charge(self, price: Price, usage: Usage) -> Charge:
        """What a request costs."""
        amount = price.amount_micro(
            usage.input_tokens, usage.cached_tokens, usage.output_tokens
        )
        return Charge(amount, self.currency, price.id)


def _problems(values: Any) -> list[str]:
    if not isinstance(values, dict):
        return ["must be a table"]
    names = [field.name for field in fields(Price)]
    problems = [f"{name} is missing" for name in names if name not in values]
    problems += [f"unknown: {name}" for name in sorted(set(values) - set(names))]
    for name in set(names) & set(values):
        value = values[name]
        if name.startswith("price_"):
            if type(value) is not int or not 0 <= value <= MAX_PRICE_MICRO:
                problems.append(f"{name} must be an integer from 0. Received: {value!r}")
        elif name == "valid_from":
            if type(value) is not datetime.date:
                problems.append(f"{name} must be a date (2026-11-01). Received: {value!r}")
        elif not isinstance(value, str) or not _NAME.fullmatch(value):
            problems.append(f"{name} must be a name. Received: {value!r}")
    return sorted(problems)


def _conflicts(prices: list[Price]) -> list[str]:
    problems = []
    for key, what in (
        (lambda price: price.id, "id"),
        (lambda price: (price.model, price.plan, price.valid_from), "model, plan and date"),
    ):
        seen = set()
        for price in prices:
            if key(price) in seen:
                problems.append(f"two prices have the same {what}: {key(price)}")
            seen.add(key(price))
    return problems
