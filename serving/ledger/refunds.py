"""What is left of a charge, and what a refund takes of it. Pure; nothing is written here.

A refund is of an amount, or of tokens. Tokens are refunded from the charge's highest tier down,
each part's at the part's own amount, so that all tokens refunded one after the other come to
exactly what they cost together. An amount alone gives no tokens back to the month.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from serving.ledger.errors import LedgerError
from serving.ledger.parts import METERS, ChargePart, Meter, parts_from_text, tokens_of
from serving.ledger.records import Entry

_Key = tuple[Meter, int, int]


@dataclass(frozen=True, slots=True)
class Refunded:
    """What is taken of a charge.

    Attributes:
      amount_micro: in millionths, positive.
      input_tokens, cached_tokens, output_tokens: as in an entry: cached ones are among the
        input's; positive.
      parts: whose amounts add up to `amount_micro`; empty for one whole.
    """

    amount_micro: int
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    parts: tuple[ChargePart, ...] = ()


def what_is_left(charge: Entry, taken: Sequence[Entry]) -> Refunded:
    """A charge, less what was refunded of it.

    Args:
      taken: its reversals and refunds.
    """
    amount, read, cached, written = (
        getattr(charge, name) + sum(getattr(each, name) for each in taken)
        for name in ("amount_micro", "input_tokens", "cached_tokens", "output_tokens")
    )
    left: dict[_Key, ChargePart] = {}
    for entry in (charge, *taken):
        for part in parts_from_text(entry.parts):
            key = part.meter, part.tier, part.price_micro_per_1k_tokens
            before = left.get(key, ChargePart(*key[:2], 0, key[2], 0))
            left[key] = ChargePart(
                part.meter,
                part.tier,
                before.tokens + part.tokens,
                part.price_micro_per_1k_tokens,
                before.amount_micro + part.amount_micro,
            )
    parts = tuple(part for part in left.values() if part.tokens or part.amount_micro)
    return Refunded(amount, read, cached, written, parts)


def refund_of_amount(left: Refunded, amount_micro: int) -> Refunded:
    """
    Raises:
      LedgerError: it is not from 1 to what is left.
    """
    if not 1 <= amount_micro <= left.amount_micro:
        raise LedgerError(
            f"Of this charge, {left.amount_micro} millionths are left. A refund must be from 1 "
            f"to so many. Received: {amount_micro}"
        )
    return Refunded(amount_micro)


def refund_of_tokens(left: Refunded, tokens: Mapping[Meter, int]) -> Refunded:
    """
    Args:
      tokens: of each meter, how many.

    Raises:
      LedgerError: there are not so many left, or they cost more than is left.
    """
    if not tokens or min(tokens.values()) < 0 or not any(tokens.values()):
        raise LedgerError(
            f"A refund of tokens needs at least one token. Received: {dict(tokens)}"
        )
    parts = [
        part for meter, count in tokens.items() for part in _taken(left.parts, meter, count)
    ]
    parts.sort(key=lambda part: (METERS.index(part.meter), part.tier))
    amount = sum(part.amount_micro for part in parts)
    if amount > left.amount_micro:
        raise LedgerError(
            f"So many tokens cost {amount} millionths, and {left.amount_micro} are left of the "
            "charge, because an amount was refunded. Refund an amount."
        )
    computed, cached, written = (tokens_of(parts, meter) for meter in METERS)
    return Refunded(amount, computed + cached, cached, written, tuple(parts))


def refund_of_rest(left: Refunded) -> Refunded:
    """All that is left.

    Raises:
      LedgerError: there is nothing.
    """
    if not left.amount_micro and not left.input_tokens and not left.output_tokens:
        raise LedgerError("Nothing is left of this charge.")
    if sum(part.amount_micro for part in left.parts) == left.amount_micro:
        return left
    return Refunded(
        left.amount_micro, left.input_tokens, left.cached_tokens, left.output_tokens
    )


def _taken(parts: Sequence[ChargePart], meter: Meter, count: int) -> list[ChargePart]:
    """So many tokens of a meter, of the highest tiers."""
    there = sorted((part for part in parts if part.meter == meter), key=lambda part: part.tier)
    available = sum(part.tokens for part in there)
    if count > available:
        raise LedgerError(
            f"Of this charge, {available} {meter} tokens are left that have a price. A refund "
            f"must be of at most so many. Received: {count}"
        )
    taken = []
    for part in reversed(there):
        tokens = min(count, part.tokens)
        count -= tokens
        if tokens:
            taken.append(
                ChargePart(
                    meter,
                    part.tier,
                    tokens,
                    part.price_micro_per_1k_tokens,
                    _cost(part, tokens),
                )
            )
    return taken


def _cost(part: ChargePart, tokens: int) -> int:
    """Of some tokens of a part, in millionths, rounded; of all, exactly its amount."""
    return (2 * part.amount_micro * tokens + part.tokens) // (2 * part.tokens)
