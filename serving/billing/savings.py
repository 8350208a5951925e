"""What a month costs by the token, against renting instances by the month.

With ``tokens`` used in a month, ``capacity`` tokens that one instance can do in a month when it
never waits, and ``use``, the share of the time that it is kept busy (the rest is headroom for
peaks, and nights):

- rented: ``max(1, ceil(tokens / (capacity * use)))`` instances, each at the month's price;
- autoscaled: ``max(at_least, tokens / (capacity * use))`` instances' worth of hours, at the
  price of a month taken by the hour, times ``hourly_premium``;
- by the token: what the ledger says.

The textbook case is one instance at 3,000 a month that is busy 30 % of the time: 2,100 of the
3,000 pay for waiting, and what is used costs 3,000 / 0.3 = 10,000 for the work of one instance.
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
class Savings:
    """A month's usage, paid in three ways; costs in the currency's unit.

    Attributes:
      idle: what of the rented instances' cost pays for waiting.
      break_even_tokens: tokens a month from which one rented instance is the cheaper way, at
        the price by the token that was paid; infinite where it was nothing. Beyond what an
        instance can do at its ``use`` it never is.
    """

    tokens: int
    by_token: float
    rented: float
    autoscaled: float
    idle: float
    break_even_tokens: float

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
    return Savings(
        tokens=tokens,
        by_token=by_token,
        rented=rented,
        autoscaled=renting.autoscaled(tokens),
        idle=max(0.0, rented - busy),
        break_even_tokens=(renting.month_price * tokens / by_token if by_token else math.inf),
    )
