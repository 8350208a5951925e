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
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from serving.billing.currencies import CurrencyError, decimals_of, minor_units, money
from serving.ledger import schema
from serving.ledger.archived_month import archived_month, is_archived
from serving.ledger.chain import FIRST_HASH
from serving.ledger.database import reading
from serving.ledger.errors import LedgerError
from serving.ledger.months import month_bounds
from serving.ledger.parts import METERS

CREDIT: Final = "credit"
"""The kind of the line that takes off what was paid in advance."""

_ROWS_AT_A_TIME: Final = 1000


class InvoiceError(ValueError):
    """The invoice cannot be made; the message says why."""


@dataclass(frozen=True, slots=True)
class InvoiceLine:
    """The usage of one model at one price.

    Attributes:
      kind: ``charge``; ``reversal`` or ``refund``, whose tokens and amount are negative; or
        ``credit``: what of the others was paid in advance, as one negative amount.
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
      requests: number of charges minus those that were reversed; a refund of a part of one
        changes nothing.
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
    def usage_micro(self) -> int:
        """What was used costs, whether it was paid in advance or not."""
        return sum(line.amount_micro for line in self.lines if line.kind != CREDIT)

    @property
    def payable(self) -> str:
        """Return what the lines cost before taxes, each rounded once, such as ``12.35``."""
        lines = (minor_units(line.amount_micro, self.decimals) for line in self.lines)
        return money(sum(lines), self.decimals)


def make_invoice(
    engine: sa.Engine, tenant: str, month: str, archives: Path | None = None
) -> Invoice:
    """Build a tenant's invoice.

    Args:
      month: such as ``2026-11``. The invoice of a month that is not over may still grow.
      archives: folder with the archives, for a month whose entries are archived.

    Raises:
      InvoiceError: the month is not valid, its entries are archived and cannot be read, or they
        are in several currencies, or in one that is not in ISO 4217.
    """
    try:
        start, end = month_bounds(month)
        if not is_archived(engine, tenant, month):
            return _invoice(engine, tenant, month, start, end)
        if archives is None:
            raise InvoiceError(
                f"The entries of {month} are archived. Give the folder of the archives."
            )
        with archived_month(engine, tenant, month, archives) as archived:
            return _invoice(archived, tenant, month, start, end)
    except (ValueError, LedgerError) as error:
        raise InvoiceError(str(error)) from None


def _invoice(
    engine: sa.Engine,
    tenant: str,
    month: str,
    start: datetime.datetime,
    end: datetime.datetime,
) -> Invoice:
    columns = schema.entries.c
    with reading(engine) as connection:
        first = _first_since(connection, tenant, start)
        after = _first_since(connection, tenant, end)
        covered = (columns.tenant == tenant, columns.number >= first, columns.number < after)
        requests, *tokens = connection.execute(
            sa.select(
                sa.func.sum(
                    sa.case(
                        (columns.kind == "charge", 1), (columns.kind == "reversal", -1), else_=0
                    )
                ),
                sa.func.sum(columns.input_tokens),
                sa.func.sum(columns.cached_tokens),
                sa.func.sum(columns.output_tokens),
            ).where(*covered)
        ).one()
        lines = _lines(connection, covered) + _credit(connection, tenant, month, covered)
        currencies = connection.scalars(
            sa.select(columns.currency).where(*covered).distinct()
        ).all()
        last_hash = connection.scalar(
            sa.select(columns.hash).where(columns.tenant == tenant, columns.number == after - 1)
        ) or connection.scalar(
            sa.select(schema.archives.c.last_hash).where(
                schema.archives.c.tenant == tenant, schema.archives.c.last_number == after - 1
            )
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


def _credit(
    connection: sa.Connection,
    tenant: str,
    month: str,
    covered: Sequence[sa.ColumnElement[bool]],
) -> tuple[InvoiceLine, ...]:
    """What of the other lines was paid in advance: all since the tenant's first top-up."""
    columns, chains = schema.entries.c, schema.chains.c
    since = connection.scalar(sa.select(chains.credit_since).where(chains.tenant == tenant))
    if since is None:
        return ()
    taken = connection.scalar(
        sa.select(sa.func.sum(columns.amount_micro)).where(
            *covered, columns.kind != "top_up", columns.number > since
        )
    )
    if not taken:
        return ()
    return (InvoiceLine("", "", CREDIT, month, "all", 0, None, 0, 0, -int(taken)),)


def _place(line: tuple[tuple[Any, ...], list[int]]) -> tuple[Any, ...]:
    """Where a line stands: in the order of its key, meters in their own."""
    *before, meter, tier, price = line[0]
    order = METERS.index(meter) if meter in METERS else len(METERS)
    return (*before, order, tier, price or 0)


def _first_since(connection: sa.Connection, tenant: str, moment: datetime.datetime) -> int:
    """Number of the first entry of the month that begins at a moment, or of a later one; one
    past the last if none."""
    columns = schema.entries.c
    number = connection.scalar(
        sa.select(sa.func.min(columns.number)).where(
            columns.tenant == tenant, columns.created_at >= moment
        )
    )
    archives = schema.archives.c
    archived = connection.scalar(
        sa.select(sa.func.min(archives.first_number)).where(
            archives.tenant == tenant, archives.month >= f"{moment:%Y-%m}"
        )
    )
    if archived is not None:
        return int(archived)  # what is archived comes before what is not
    if number is None:
        last = sa.select(schema.chains.c.number).where(schema.chains.c.tenant == tenant)
        number = (connection.scalar(last) or 0) + 1
    return int(number)


def micro(amount: int) -> str:
    """Format millionths as a decimal number, such as ``-0.000700``."""
    whole, rest = divmod(abs(amount), 1_000_000)
    return f"{'-' if amount < 0 else ''}{whole}.{rest:06d}"
