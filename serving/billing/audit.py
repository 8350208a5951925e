"""Recalculates every charge of the ledger from the price book, and reports those that differ.

An entry names its price and what its tenant's month had used before it; `verify` holds that to
the entries before it. So an amount is what the price book says, or it is found here.
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

from serving.billing.price import Price
from serving.billing.price_book import PriceBook
from serving.ledger import Entry, TokensBefore, Usage, schema
from serving.ledger.database import reading
from serving.ledger.parts import parts_from_text, parts_to_text
from serving.ledger.verified_chain import Finding

_ROWS_AT_A_TIME: Final = 1000


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
        sa.select(schema.entries, charges.c.amount_micro, charges.c.parts)
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
    checked, findings = 0, []
    with reading(engine) as connection:
        rows = connection.execution_options(yield_per=_ROWS_AT_A_TIME).execute(query)
        for row in rows:
            checked += 1
            *values, amount, parts = row
            entry = Entry(**dict(zip(columns.keys(), values, strict=True)))
            wrong = (
                _wrong_charge(entry, book, prices.get(entry.price_id))
                if entry.kind == "charge"
                else _wrong_reversal(entry, amount, parts)
            )
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


def _wrong_reversal(entry: Entry, amount: int | None, parts: str | None) -> str:
    if amount is None or parts is None:
        return "reverses a charge that does not exist"
    negatives = parts_to_text(part.negative() for part in parts_from_text(parts))
    if (entry.amount_micro, entry.parts) != (-amount, negatives):
        return (
            f"takes {entry.amount_micro} millionths back. Expected: {-amount}, according to "
            "its charge"
        )
    return ""


def _as_one(price: Price, entry: Entry) -> int:
    """What an entry of schema version 1 cost: no tiers, its tokens summed and rounded once."""
    thousandths = (
        (entry.input_tokens - entry.cached_tokens) * price.price_micro_per_1k_input_tokens
        + entry.cached_tokens * price.price_micro_per_1k_cached_tokens
        + entry.output_tokens * price.price_micro_per_1k_output_tokens
    )
    return (thousandths + 500) // 1000
