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
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from serving.billing.currencies import CurrencyError, decimals_of
from serving.billing.price import Price
from serving.billing.price_table import Problem, price_from_table, price_problems
from serving.billing.toml_lines import Lines
from serving.ledger import Charge, Pricing, TokensBefore, Usage


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
              wrong, with its line.
        """
        try:
            content = path.read_bytes()
        except OSError as error:
            raise PriceBookError(f"Cannot read the price book {path}: {error}") from None
        return cls.parse(content, path)

    @classmethod
    def parse(cls, content: bytes, path: Path) -> Self:
        """The price book that a file contains.

        Args:
          path: of the file, for messages.

        Raises:
          PriceBookError: as `load`.
        """
        try:
            text = content.decode("utf-8")
            document = tomllib.loads(text)
        except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise PriceBookError(f"Cannot read the price book {path}: {error}") from None
        if problems := list(_problems(document)):
            lines = Lines(text)
            listed = sorted((lines[where], problem) for where, problem in problems)
            raise PriceBookError(
                f"The price book {path} is not valid:"
                + "".join(f"\n- line {line}: {problem}" for line, problem in listed)
            )
        return cls(document["currency"], tuple(map(price_from_table, document["prices"])))

    @property
    def plans(self) -> frozenset[str]:
        """Names of the plans that have a price."""
        return frozenset(price.plan for price in self.prices)

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


def _problems(document: dict[str, Any]) -> Iterator[Problem]:
    """Everything that is wrong with a price book, each with its path in the document."""
    try:
        decimals_of(document.get("currency", ""))
    except CurrencyError as error:
        yield ("currency",), f"currency: {error}"
    for name in set(document) - {"currency", "prices"}:
        yield (name,), f"unknown: {name}"
    tables = document.get("prices", [])
    if not isinstance(tables, list):
        yield ("prices",), f"prices must be [[prices]] tables. Received: {tables!r}"
        return
    if not tables:
        yield (), "it has no [[prices]] entry"
    for position, table in enumerate(tables):
        for where, problem in price_problems(table):
            yield ("prices", position, *where), f"price {position + 1}: {problem}"
    yield from _conflicts(tables)


def _conflicts(tables: list[Any]) -> Iterator[Problem]:
    """Prices that cannot be told apart, however wrong they are otherwise."""
    for keys, what in (
        (("id",), "id"),
        (("model", "plan", "valid_from"), "model, plan and date"),
    ):
        first: dict[str, int] = {}
        for position, table in enumerate(tables):
            if not isinstance(table, dict) or not set(keys) <= set(table):
                continue
            # Of values of any type: whatever they are, equal ones are written alike.
            values = ", ".join(str(table[key]) for key in keys)
            before = first.setdefault(values, position)
            if before != position:
                yield (
                    ("prices", position),
                    f"price {position + 1} has the same {what} as price {before + 1}: {values}",
                )
