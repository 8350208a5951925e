"""What a month costs by the token, against renting instances by the month.

With ``tokens`` used in a month, ``capacity`` tokens that one instance can do in a month when it
never waits, and ``use``, the share of the time that it is kept busy (the rest is headroom for
peaks, and nights):

- rented: ``max(1, ceil(tokens / (capacity * use)))`` instances, each at the month's price;
- autoscaled: ``max(at_least, tokens / (capacity * use))`` instances' worth of hours, at the
  price of a month taken by the hour, times ``hourly_premium``;
- by the token: what the ledger says.

The textbook case is one GPU at 3,000 a month that is busy 30 % of the time: 2,100 of the 3,000
pay for waiting, and the work that would fill a GPU costs 3,000 / 0.3 = 10,000
(`docs/for/finance.md`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Final

SECONDS_A_MONTH: Final = 730 * 3600
"""Hours in a month, as cloud providers count them."""


@dataclass(frozen=True, slots=True)
class Renting:
    """How instances would be rented.

    Attributes:
      month_price: of an instance, in the currency's unit.
      tokens_per_second: input and output tokens that an instance does when it never waits;
        measure it, for instance by ``make bench-serve``.
      use: share of the time that it is busy, above 0 to 1.
      at_least: instances that autoscaling keeps; may be 0.
      hourly_premium: how much dearer an hour is that is not taken by the month.
    """

    month_price: float
    tokens_per_second: float
    use: float = 0.3
    at_least: float = 1.0
    hourly_premium: float = 1.0

    def __post_init__(self) -> None:
        """
        Raises:
          ValueError: a value makes no sense.
        """
        for each in fields(self):
            value = getattr(self, each.name)
            above_zero = each.name != "at_least"
            if not math.isfinite(value) or value < 0 or (above_zero and value == 0):
                least = "above 0" if above_zero else "at least 0"
                raise ValueError(f"{each.name} must be {least}. Received: {value}")
        if self.use > 1:
            raise ValueError(f"use must be a share of at most 1. Received: {self.use}")

    @property
    def capacity(self) -> float:
        """Tokens that an instance can do in a month."""
        return self.tokens_per_second * SECONDS_A_MONTH

    def rented(self, tokens: int) -> float:
        """A month's cost of instances rented by the month."""
        return max(1, math.ceil(tokens / (self.capacity * self.use))) * self.month_price

    def autoscaled(self, tokens: int) -> float:
        """A month's cost of instances that come and go by the hour."""
        instances = max(self.at_least, tokens / (self.capacity * self.use))
        return instances * self.month_price * self.hourly_premium


@dataclass(frozen=True, slots=True)
class Million:
    """What a million tokens cost, in the currency's unit; not a number without any tokens."""

    by_token: float
    rented: float
    autoscaled: float


@dataclass(frozen=True, slots=True)
class Savings:
    """A month's usage, paid in three ways; costs in the currency's unit.

    Attributes:
      idle: what of the rented instances' cost pays for waiting.
      use: the share of the time that the rented instances would have been busy with the month's
        tokens: what was measured, beside what was assumed (`Renting.use`).
      break_even_tokens: tokens a month from which one rented instance is the cheaper way, at
        the price by the token that was paid; infinite where it was nothing.
      break_even_use: the share of the time for which those tokens keep one instance busy. Above
        1, and above what is assumed (`Renting.use`), renting is never the cheaper way: an
        instance cannot do so much.
    """

    tokens: int
    by_token: float
    rented: float
    autoscaled: float
    idle: float
    use: float
    break_even_tokens: float
    break_even_use: float

    @property
    def million(self) -> Million:
        """What a million of the month's tokens cost each way."""
        return Million(
            *(
                cost * 1_000_000 / self.tokens if self.tokens else math.nan
                for cost in (self.by_token, self.rented, self.autoscaled)
            )
        )

    @property
    def saved(self) -> float:
        """What paying by the token saves against renting by the month; may be negative."""
        return self.rented - self.by_token


def savings(tokens: int, by_token_micro: int, renting: Renting) -> Savings:
    """Compare a month's real usage.

    Args:
      tokens: input and output tokens of the month.
      by_token_micro: what they cost by the token, in millionths.

    Raises:
      ValueError: a number is negative.
    """
    if tokens < 0 or by_token_micro < 0:
        raise ValueError(
            f"tokens and their cost must be at least 0. Received: {tokens}, {by_token_micro}"
        )
    by_token = by_token_micro / 1_000_000
    rented = renting.rented(tokens)
    busy = tokens / renting.capacity * renting.month_price
    even = renting.month_price * tokens / by_token if by_token else math.inf
    return Savings(
        tokens=tokens,
        by_token=by_token,
        rented=rented,
        autoscaled=renting.autoscaled(tokens),
        idle=max(0.0, rented - busy),
        use=busy / rented,
        break_even_tokens=even,
        break_even_use=even / renting.capacity,
    )


def told(result: Savings, renting: Renting, currency: str, month: str) -> list[str]:
    """Say the comparison in lines."""
    rows = (
        ("by the token", result.by_token, result.million.by_token),
        ("rented by the month", result.rented, result.million.rented),
        ("autoscaled", result.autoscaled, result.million.autoscaled),
    )
    even = "never: the tokens cost nothing"
    if math.isfinite(result.break_even_tokens):
        even = (
            f"{result.break_even_tokens:,.0f} tokens a month, which keep one instance busy "
            f"{result.break_even_use:.1%} of the time"
        )
        if result.break_even_use > renting.use:
            even += ", more than is assumed: renting does not get cheaper"
    return [
        f"{result.tokens:,} tokens in {month}; costs in {currency or 'no currency'}",
        f"{'':22}{'the month':>14}{'a million tokens':>20}",
        *(f"  {name:20}{cost:14,.2f}{_million(million):>20}" for name, cost, million in rows),
        f"saved by the token: {result.saved:,.2f}",
        f"idle while rented: {result.idle:,.2f} of {result.rented:,.2f}",
        f"utilisation: {result.use:.1%} measured, {renting.use:.1%} assumed",
        f"break-even: {even}",
    ]


def _million(cost: float) -> str:
    return "-" if math.isnan(cost) else f"{cost:,.4f}"
