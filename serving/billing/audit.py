"""Recalculates every charge of the ledger from the price book, and reports those that differ.

An entry names its price and what its tenant's month had used before it; `verify` holds that to
the entries before it. So an amount is what the price book says, or it is found here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import sqlalchemy as sa

from serving.billing.price import Price
from serving.billing.price_book import PriceBook
from serving.ledger import Entry, LedgerError, TokensBefore, Usage, schema
from serving.ledger.database import reading
from serving.ledger.parts import METERS, parts_from_text, parts_to_text, tokens_of
from serving.ledger.refunds import (
    Refunded,
    refund_of_amount,
    refund_of_rest,
    refund_of_tokens,
    what_is_left,
)
from serving.ledger.verified_chain import Finding

_ROWS_AT_A_TIME: Final = 1000
_OF_CHARGE: Final = ("amount_micro", "parts", "input_tokens", "cached_tokens", "output_tokens")


def audit(
    engine: sa.Engine, book: PriceBook, tenant: str | None = None
) -> tuple[int, list[Finding]]:
    """Recalculate all charges, and compare reversals with the charges that they take back.

    Args:
      book: all prices, past and present.
      tenant: check only this tenant's charges; None for all.

    Returns:
      The number of entries that were checked, and the findings.
    """
    prices = {price.id: price for price in book.prices}
    columns = schema.entries.c
    # A reversal reads the charge that it takes back from the same moment.
    charges = schema.entries.alias()
    query = (
        sa.select(schema.entries, *(charges.c[name] for name in _OF_CHARGE))
        .outerjoin(
            charges,
            (charges.c.request_id == columns.request_id)
            & (charges.c.tenant == columns.tenant)
            & (charges.c.kind == "charge"),
        )
        .order_by(columns.tenant, columns.number)
    )
    if tenant is not None:
        query = query.where(columns.tenant == tenant)
    checked, findings, of_tenant = 0, [], ""
    taken: dict[str, list[Entry]] = {}  # of the tenant's charges, by request
    with reading(engine) as connection:
        archived = set(connection.scalars(sa.select(schema.archives.c.tenant).distinct()))
        rows = connection.execution_options(yield_per=_ROWS_AT_A_TIME).execute(query)
        for row in rows:
            checked += 1
            values = tuple(row)[: len(columns)]
            entry = Entry(**dict(zip(columns.keys(), values, strict=True)))
            if entry.tenant != of_tenant:
                taken.clear()
                of_tenant = entry.tenant
            if entry.kind == "charge":
                wrong = _wrong_charge(entry, book, prices.get(entry.price_id))
            elif entry.kind == "top_up":
                wrong = ""
            else:
                before = taken.setdefault(entry.request_id, [])
                of_charge = tuple(row)[len(columns) :]
                # What a charge was that is archived, is not here any more.
                unknown = of_charge[0] is None and entry.tenant in archived
                wrong = "" if unknown else _wrong_return(entry, of_charge, before)
                before.append(entry)
            if wrong:
                findings.append(Finding(entry.tenant, entry.number, wrong))
    return checked, findings


def _wrong_charge(entry: Entry, book: PriceBook, price: Price | None) -> str:
    if price is None:
        return f"was charged at the price {entry.price_id}, which is not in the price book"
    if (entry.model, entry.currency) != (price.model, book.currency):
        return (
            f"is for {entry.model} in {entry.currency}. Expected: {price.model} in "
            f"{book.currency}, according to the price {price.id}"
        )
    if entry.schema_version == 1:
        expected, parts = _as_one(price, entry), entry.parts
    else:
        usage = Usage(
            entry.model,
            entry.model_version,
            entry.tokenizer_fingerprint,
            entry.contract_version,
            entry.input_tokens,
            entry.cached_tokens,
            entry.output_tokens,
            entry.finish_reasons,
            entry.latency_ms,
        )
        before = TokensBefore(
            entry.input_tokens_before,
            entry.cached_tokens_before,
            entry.output_tokens_before,
        )
        charge = book.charge(price, usage, before)
        expected, parts = charge.amount_micro, parts_to_text(charge.parts)
    if (entry.amount_micro, entry.parts) != (expected, parts):
        return (
            f"costs {entry.amount_micro} millionths, in parts {entry.parts}. Expected: "
            f"{expected}, {parts}, according to the price {price.id}"
        )
    return ""


def _wrong_return(entry: Entry, of_charge: Sequence[Any], before: Sequence[Entry]) -> str:
    """What is wrong with a reversal or a refund.

    Args:
      of_charge: `_OF_CHARGE` of the charge; None each where there is none.
      before: what was given back of it by entries before.
    """
    if of_charge[0] is None:
        return "reverses a charge that does not exist"
    charge = replace(entry, kind="charge", **dict(zip(_OF_CHARGE, of_charge, strict=True)))
    try:
        expected = _expected_return(entry, what_is_left(charge, before))
    except LedgerError as error:
        return f"gives back what is not left of its charge: {error}"
    counts = (expected.input_tokens, expected.cached_tokens, expected.output_tokens)
    parts = parts_to_text(part.negative() for part in expected.parts)
    said = (-entry.input_tokens, -entry.cached_tokens, -entry.output_tokens)
    if (-entry.amount_micro, entry.parts, said) != (expected.amount_micro, parts, counts):
        return (
            f"takes {entry.amount_micro} millionths back, in parts {entry.parts}. Expected: "
            f"{-expected.amount_micro}, {parts}, according to its charge"
        )
    return ""


def _expected_return(entry: Entry, left: Refunded) -> Refunded:
    """
    Raises:
      LedgerError: so much is not left.
    """
    if entry.kind == "reversal":
        return left
    tokens = {
        meter: -count
        for meter in METERS
        if (count := tokens_of(parts_from_text(entry.parts), meter))
    }
    if tokens:
        return refund_of_tokens(left, tokens)
    if entry.input_tokens or entry.output_tokens:
        return refund_of_rest(left)
    return refund_of_amount(left, -entry.amount_micro)


def _as_one(price: Price, entry: Entry) -> int:
    """What an entry of schema version 1 cost: no tiers, its tokens summed and rounded once."""
    thousandths = (
        (entry.input_tokens - entry.cached_tokens) * price.price_micro_per_1k_input_tokens
        + entry.cached_tokens * price.price_micro_per_1k_cached_tokens
        + entry.output_tokens * price.price_micro_per_1k_output_tokens
    )
    return (thousandths + 500) // 1000
