"""What answers would cost by a price book, for those who look before anybody is charged."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from serving.billing import Price, PriceBook
from serving.billing.invoice import micro


@dataclass(frozen=True, slots=True)
class PriceQuote:
    """A model's price on a plan, as it holds today, in a currency.

    All costs are before any free allowance and in the first tier: what a price list says.
    """

    price: Price
    currency: str

    @classmethod
    def load(cls, prices: Path, model: str, plan: str) -> Self:
        """Read it from a price book.

        Raises:
          PriceBookError: the book cannot be used, or has no price of the model on the plan.
        """
        book = PriceBook.load(prices)
        return cls(book.price(model, plan, datetime.now(UTC).date()), book.currency)

    def costs_micro(self, counts: Iterable[tuple[int, int]]) -> list[int]:
        """Millionths of each request; they add up to what all tokens cost together.

        Args:
          counts: input and output tokens of each request.
        """
        costs: list[int] = []
        tokens_in = tokens_out = charged = 0
        for input_tokens, output_tokens in counts:
            tokens_in += input_tokens
            tokens_out += output_tokens
            costs.append(self.price.base_micro(tokens_in, tokens_out) - charged)
            charged += costs[-1]
        return costs

    def money(self, amount_micro: int) -> str:
        """Such as ``0.000020 EUR``."""
        return f"{micro(amount_micro)} {self.currency}"
