"""Prices of tokens: a free allowance and graduated tiers, separately for each kind of token.

Computed input, input from a cache, and output are counted separately, from the first of the
month (UTC) on, for each tenant and model. The first tokens of a month are free, up to the
allowance; then the base price applies; and after each tier's ``above_tokens`` the price of that
tier. A request that crosses such a threshold is split there. Free tokens are counted too: with
an allowance of 1,000 and a tier above 5,000, the tokens 1,001 to 5,000 have the base price.

A tier of a month is rounded once: its first ``n`` tokens cost ``n × price / 1,000`` millionths,
rounded half up, and a request costs the amount by which that grows. So the requests of a month
add up exactly to the price of the month's tokens taken together, in whatever order they came; a
single request may cost a millionth more or less than its tokens alone would.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from dataclasses import dataclass

from serving.ledger import ChargePart, TokensBefore, Usage
from serving.ledger.parts import METERS, Meter


@dataclass(frozen=True, slots=True)
class Tier:
    """The price of the tokens of a month after the first ``above_tokens``."""

    above_tokens: int
    price_micro_per_1k_tokens: int


@dataclass(frozen=True, slots=True)
class Price:
    """The price of a model's tokens on a plan.

    Attributes:
      id: permanent, because entries of the ledger refer to it.
      valid_from: its first day, UTC; it is valid until the next one for the model and plan.
      price_micro_per_1k_*_tokens: for tokens after the free ones and before the first tier.
      free_*_tokens: per month.
      *_tiers: in ascending order.
    """

    id: str
    valid_from: datetime.date
    model: str
    plan: str
    price_micro_per_1k_input_tokens: int
    price_micro_per_1k_cached_tokens: int
    price_micro_per_1k_output_tokens: int
    free_input_tokens: int = 0
    free_cached_tokens: int = 0
    free_output_tokens: int = 0
    input_tiers: tuple[Tier, ...] = ()
    cached_tiers: tuple[Tier, ...] = ()
    output_tiers: tuple[Tier, ...] = ()

    def parts(self, usage: Usage, before: TokensBefore) -> tuple[ChargePart, ...]:
        """Return what a request costs, tier by tier.

        Args:
          before: the model's tokens that the month has used before it.
        """
        spans = {
            "input": (
                before.input_tokens - before.cached_tokens,
                usage.input_tokens - usage.cached_tokens,
            ),
            "cached": (before.cached_tokens, usage.cached_tokens),
            "output": (before.output_tokens, usage.output_tokens),
        }
        return tuple(part for meter in METERS for part in self._split(meter, *spans[meter]))

    def base_micro(self, input_tokens: int, output_tokens: int) -> int:
        """What so many tokens cost before any allowance and tier: what a price list says.

        Args:
          input_tokens: none of which comes from a cache.
        """
        return _rounded(input_tokens * self.price_micro_per_1k_input_tokens) + _rounded(
            output_tokens * self.price_micro_per_1k_output_tokens
        )

    def most_micro(self, input_tokens: int, output_tokens: int) -> int:
        """Return the most that up to this many tokens can cost at any position in the month.

        Args:
          input_tokens: any of these may turn out to be cached.
        """
        return _most(input_tokens, [*self._rungs("input"), *self._rungs("cached")]) + _most(
            output_tokens, list(self._rungs("output"))
        )

    def _split(self, meter: Meter, before: int, tokens: int) -> Iterator[ChargePart]:
        rungs = list(self._rungs(meter))
        end = before + tokens
        for number, (start, tier, price) in enumerate(rungs):
            stop = rungs[number + 1][0] if number + 1 < len(rungs) else max(end, start)
            first, last = max(before, start) - start, min(end, stop) - start
            if first < last:
                amount = _rounded(last * price) - _rounded(first * price)
                yield ChargePart(meter, tier, last - first, price, amount)

    def _rungs(self, meter: Meter) -> Iterator[tuple[int, int, int]]:
        """First token (from 0), number and price of each tier."""
        free: int = getattr(self, f"free_{meter}_tokens")
        if free:
            yield 0, 0, 0
        yield free, 1, getattr(self, f"price_micro_per_1k_{meter}_tokens")
        for number, tier in enumerate(getattr(self, f"{meter}_tiers"), start=2):
            yield tier.above_tokens, number, tier.price_micro_per_1k_tokens


def _rounded(thousandths: int) -> int:
    """To a millionth, half up."""
    return (thousandths + 500) // 1000


def _most(tokens: int, rungs: list[tuple[int, int, int]]) -> int:
    """The most that tokens cost that are spread over tiers in any way.

    Each part is rounded up at worst. So they cost no more than all of them at the dearest price
    and a millionth for each part but one, nor more than each token rounded up by itself.
    """
    prices = [price for _, _, price in rungs if price]
    if not prices or not tokens:
        return 0
    together = -(-tokens * max(prices) // 1000) + len(prices) - 1
    return min(together, tokens * -(-max(prices) // 1000))
