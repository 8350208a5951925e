"""The parts of a charge: so many tokens of one kind at one price.

In an entry they are a JSON array of arrays, with no spaces, in the order in which they were
priced::

    [["input",0,100,0,0],["input",1,20,400,8],["output",1,30,1600,48]]

A tier is 0 for what is free, and counts from 1.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from operator import attrgetter
from typing import Final, Literal, get_args

import orjson

Meter = Literal["input", "cached", "output"]
"""The kinds of tokens that are counted separately: computed input, input from a cache,
output."""

METERS: Final[tuple[Meter, ...]] = get_args(Meter)


@dataclass(frozen=True, slots=True)
class ChargePart:
    """Tokens of one meter in one tier.

    Attributes:
      tokens, amount_micro: negative in a reversal.
    """

    meter: Meter
    tier: int
    tokens: int
    price_micro_per_1k_tokens: int
    amount_micro: int

    def __post_init__(self) -> None:
        if self.meter not in METERS:
            raise ValueError(f"A meter must be one of {METERS}. Received: {self.meter!r}")

    def negative(self) -> ChargePart:
        return replace(self, tokens=-self.tokens, amount_micro=-self.amount_micro)


_as_tuple: Final = attrgetter(*(each.name for each in fields(ChargePart)))


def parts_to_text(parts: Iterable[ChargePart]) -> str:
    return json.dumps([_as_tuple(part) for part in parts], separators=(",", ":"))


def parts_from_text(text: str) -> tuple[ChargePart, ...]:
    """
    Raises:
      ValueError: it was not written by `parts_to_text`.
    """
    try:
        return tuple(ChargePart(*values) for values in json.loads(text))
    except TypeError:
        raise ValueError(f"These are not the parts of a charge: {text!r}") from None


def amount_of(text: str) -> int | None:
    """What the parts add up to, in millionths, without making them; None where there are none.

    Raises:
      ValueError: it was not written by `parts_to_text`.
    """
    total = 0
    try:
        parts = orjson.loads(text)
        for meter, _, _, _, amount in parts:
            if meter not in METERS:
                raise ValueError(meter)
            total += int(amount)
    except (TypeError, ValueError):
        raise ValueError(f"These are not the parts of a charge: {text!r}") from None
    return total if parts else None


def tokens_of(parts: Iterable[ChargePart], meter: Meter) -> int:
    return sum(part.tokens for part in parts if part.meter == meter)
