"""Prices by model, plan and date, from a TOML file.

::

    currency = "EUR"

    [[prices]]
    id = "2026-11"               # permanent: entries of the ledger refer to it
    valid_from = 2026-11-01      # its first day, UTC; it is valid until the next one
    model = "summarizer"
    plan = "standard"
    price_micro_per_1k_input_tokens = 400
    price_micro_per_1k_cached_tokens = 100
    price_micro_per_1k_output_tokens = 1600
    free_input_tokens = 1_000_000              # of each month; left out: 0
    input_tiers = [                            # left out: one price for all
        { above_tokens = 10_000_000, price_micro_per_1k_tokens = 300 },
    ]

``free_cached_tokens``, ``free_output_tokens``, ``cached_tiers`` and ``output_tiers`` are
similar; `serving.billing.price` explains what they mean. A new price is a new entry; never edit
an old one: the ledger's charges are recalculated from it (`serving.billing.audit`).
"""

from __future__ import annotations

import datetime
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from serving.billing.price import Price
from serving.billing.price_table import price_from_table, price_problems
from serving.ledger import Charge, Pricing, TokensBefore, Usage

_CURRENCY: Final = re.compile(r"[A-Z]{3}")


class PriceBookError(ValueError):
    """The price book cannot be used, or has no price; the message says what to do."""


@dataclass(frozen=True, slots=True)
class PriceBook:
    """All prices, past and present, in one currency."""

    currency: str
    prices: tuple[Price, ...]

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a price book.

        Raises:
          PriceBookError: the file is missing, not TOML, or not valid; lists everything that is
              wrong.
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
        for place, table in enumerate(document.get("prices", []), start=1):
            if found := price_problems(table):
                problems += [f"price {place}: {each}" for each in found]
            else:
                prices.append(price_from_table(table))
        problems += _conflicts(prices)
        if not problems and not prices:
            problems.append("it has no [[prices]] entry")
        if problems:
            raise PriceBookError(
                f"The price book {path} is not valid:\n- " + "\n- ".join(problems)
            )
        return cls(str(currency), tuple(prices))

    def price(self, model: str, plan: str, day: datetime.date) -> Price:
        """Return the price that is valid on a day, UTC.

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
                f"The price book has no price for the model {model!r} on the plan {plan!r} "
                f"for {day}. Add one."
            )
        return max(holding, key=lambda price: price.valid_from)

    def charge(self, price: Price, usage: Usage, before: TokensBefore) -> Charge:
        """Return what a request costs, given the model's tokens that the month has used before
        it."""
        parts = price.parts(usage, before)
        amount = sum(part.amount_micro for part in parts)
        return Charge(amount, self.currency, price.id, parts)

    def pricing(self, price: Price) -> Pricing:
        """Return the function with which the ledger prices a request when it is settled."""
        return lambda usage, before: self.charge(price, usage, before)


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
