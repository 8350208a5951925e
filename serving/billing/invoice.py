"""What a tenant's month costs, line by line, made from its ledger alone.

An invoice covers a section of the tenant's chain: from the first entry that was written in the
month, or later, to the last one before the first of a later month. Entries are never changed,
so creating an old invoice again gives the same bytes; a charge that is reversed later is
credited on the invoice of the month of its reversal. `serving.billing.invoice_document` makes
of it what is sent.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from serving.billing.currencies import CurrencyError, decimals_of, minor_units, money
from serving.ledger import schema
from serving.ledger.chain import FIRST_HASH
from serving.ledger.database import reading
from serving.ledger.months import month_bounds
from serving.ledger.parts import METERS

_ROWS_AT_A_TIME: Final = 1000


class InvoiceError(ValueError):
    """The invoice cannot be made; the message says why."""


@dataclass(frozen=True, slots=True)
class InvoiceLine:
    """The usage of one model at one price.

    Attributes:
      kind: ``charge``, or ``reversal``, whose tokens and amount are negative.
      month: of the usage, whose allowance and tiers apply: the invoice's, or an earlier one if
        a request began just before the month, or if a charge of that month was reversed.
      meter: ``input`` (computed), ``cached`` (input from a cache) or ``output``; ``all`` for
        charges that are not divided into parts.
      tier: 0 for free tokens; then 1, 2, ... in the order of the price.
      price_micro_per_1k_tokens: None for charges that are not divided into parts.
      requests: number of entries that have a part in the line.
      amount_micro: in millionths of the currency's unit.
    """

    price_id: str
    model: str
    kind: str
    month: str
    meter: str
    tier: int
    price_micro_per_1k_tokens: int | None
    requests: int
    tokens: int
    amount_micro: int


@dataclass(frozen=True, slots=True)
class Invoice:
    """What a tenant owes for a month.

    Attributes:
      month: such as ``2026-11``, UTC.
      first_entry, last_entry: numbers of the ledger's entries that it covers; ``last_entry`` is
        one less than ``first_entry`` if there are none.
      last_hash: hash of the last entry, with which the ledger up to it can be compared later.
      requests: number of charges minus those that were reversed.
      input_tokens, cached_tokens, output_tokens: of all requests; input tokens include cached
        ones.
      lines: in the order of price, model, kind, month, meter and tier.
      total_micro: the exact sum of the lines.
    """

    tenant: str
    month: str
    currency: str
    first_entry: int
    last_entry: int
    last_hash: str
    requests: int
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    lines: tuple[InvoiceLine, ...]
    total_micro: int

    @property
    def decimals(self) -> int:
        """Decimals of the currency; 2 if there are no entries, and so no currency."""
        return decimals_of(self.currency) if self.currency else 2

    @property
    def payable(self) -> str:
        """Return what the lines cost before taxes, each rounded once, such as ``12.35``."""
        lines = (minor_units(line.amount_micro, self.decimals) for line in self.lines)
        return money(sum(lines), self.decimals)


def make_invoice(engine: sa.Engine, tenant: str, month: str) -> Invoice:
    """Build a tenant's invoice.

    Args:
      month: such as ``2026-11``. The invoice of a month that is not over may still grow.

    Raises:
      InvoiceError: the month is not valid, or its entries are in several currencies, or in
        one that is not in ISO 4217.
    """
    columns = schema.entries.c
    try:
        start, end = month_bounds(month)
    except ValueError as error:
        raise InvoiceError(str(error)) from None
    with reading(engine) as connection:
        first = _first_since(connection, tenant, start)
        after = _first_since(connection, tenant, end)
        covered = (columns.tenant == tenant, columns.number >= first, columns.number < after)
        requests, *tokens = connection.execute(
            sa.select(
                sa.func.sum(sa.case((columns.kind == "charge", 1), else_=-1)),
                sa.func.sum(columns.input_tokens),
                sa.func.sum(columns.cached_tokens),
                sa.func.sum(columns.output_tokens),
            ).where(*covered)
        ).one()
        lines = _lines(connection, covered)
        currencies = connection.scalars(
            sa.select(columns.currency).where(*covered).distinct()
        ).all()
        last_hash = connection.scalar(
            sa.select(columns.hash).where(columns.tenant == tenant, columns.number == after - 1)
        )
    if len(currencies) > 1:
        named = ", ".join(sorted(currencies))
        raise InvoiceError(f"The entries of {month} are in several currencies: {named}.")
    try:
        for currency in currencies:
            decimals_of(currency)
    except CurrencyError as error:
        raise InvoiceError(f"The entries of {month} cannot be invoiced. {error}") from None
    input_tokens, cached_tokens, output_tokens = (int(count or 0) for count in tokens)
    return Invoice(
        tenant=tenant,
        month=month,
        currency=currencies[0] if currencies else "",
        first_entry=first,
        last_entry=after - 1,
        last_hash=last_hash or FIRST_HASH,
        requests=int(requests or 0),
        input_tokens=input_tokens,
        cached_tokens=cached_tokens,
        output_tokens=output_tokens,
        lines=lines,
        total_micro=sum(line.amount_micro for line in lines),
    )


def _lines(
    connection: sa.Connection, covered: Sequence[sa.ColumnElement[bool]]
) -> tuple[InvoiceLine, ...]:
    columns = schema.entries.c
    rows = connection.execution_options(yield_per=_ROWS_AT_A_TIME).execute(
        sa.select(
            columns.price_id,
            columns.model,
            columns.kind,
            sa.func.coalesce(sa.func.nullif(columns.month, ""), schema.requests.c.month),
            columns.parts,
            columns.input_tokens + columns.output_tokens,
            columns.amount_micro,
        )
        .join(schema.requests, schema.requests.c.request_id == columns.request_id)
        .where(*covered)
    )
    sums: dict[tuple[Any, ...], list[int]] = {}
    for *key, parts, all_tokens, amount in rows:
        for meter, tier, tokens, price, part in json.loads(parts) or [
            ("all", 0, all_tokens, None, amount)
        ]:
            line = sums.setdefault((*key, meter, tier, price), [0, 0, 0])
            line[0] += 1
            line[1] += tokens
            line[2] += part
    return tuple(InvoiceLine(*key, *line) for key, line in sorted(sums.items(), key=_place))


def _place(line: tuple[tuple[Any, ...], list[int]]) -> tuple[Any, ...]:
    """Where a line stands: in the order of its key, meters in their own."""
    *before, meter, tier, price = line[0]
    order = METERS.index(meter) if meter in METERS else len(METERS)
    return (*before, order, tier, price or 0)


def _first_since(connection: sa.Connection, tenant: str, moment: datetime.datetime) -> int:
    """Number of the first entry written at a moment or later; one past the last if none."""
    columns = schema.entries.c
    number = connection.scalar(
        sa.select(sa.func.min(columns.number)).where(
            columns.tenant == tenant, columns.created_at >= moment
        )
    )
    if number is None:
        last = sa.select(sa.func.max(columns.number)).where(columns.tenant == tenant)
        number = (connection.scalar(last) or 0) + 1
    return int(number)


def micro(amount: int) -> str:
    """Format millionths as a decimal number, such as ``-0.000700``."""
    whole, rest = divmod(abs(amount), 1_000_000)
    return f"{'-' if amount < 0 else ''}{whole}.{rest:06d}"
