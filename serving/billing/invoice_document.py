"""The invoice that is sent: a month's usage with number, dates, parties and taxes.

Amounts are integers in the currency's smallest unit (cents; yen). The order of rounding is that
of EN 16931, the European standard for invoices: each line is rounded once (rule BR-DEC-23), the
net amount is the sum of the rounded lines (BR-CO-10), each tax is computed of the net amount
and rounded once (BR-CO-17), and the total is the sum of net amount and taxes (BR-CO-15). So
whoever adds up what is printed gets what is printed.

The same ledger, month and details give the same document whenever it is made: it is issued on
the first day after its month, unless another day is given, and its number is made of tenant and
month (`docs/decisions/0015-invoice-numbers.md`). Until the month has ended, or while nobody is
named who sells, it is a draft, which has neither number nor dates.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import Final

from serving.billing.currencies import minor_units, money, rounded
from serving.billing.invoice import CREDIT, Invoice, InvoiceError
from serving.billing.invoice_details import RATE_OF_ONE, Buyer, InvoiceDetails, Seller, Tax
from serving.ledger.months import month_bounds

# Entries of a gateway whose clock is behind may still come when the month has ended.
CLOCKS_APART: Final = datetime.timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class TaxLine:
    """A tax on the net amount; amounts in the currency's smallest unit."""

    name: str
    percent: str
    base_minor: int
    amount_minor: int


@dataclass(frozen=True, slots=True)
class InvoiceDocument:
    """An invoice, or a draft of one.

    Attributes:
      draft: why it is a draft; None if it is an invoice.
      number, issued, due: None in a draft.
      first_day, last_day: the month.
      seller: None if no details are given.
      decimals: of the currency; 2 if there is no entry, and so no currency.
      line_amounts_minor: of `usage.lines`, each rounded once, in the currency's smallest unit.
      net_minor: their sum.
      gross_minor: net amount and taxes: what is to be paid.
    """

    usage: Invoice
    draft: str | None
    number: str | None
    issued: datetime.date | None
    due: datetime.date | None
    first_day: datetime.date
    last_day: datetime.date
    seller: Seller | None
    buyer: Buyer
    decimals: int
    line_amounts_minor: tuple[int, ...]
    net_minor: int
    taxes: tuple[TaxLine, ...]
    gross_minor: int
    notes: tuple[str, ...]

    def money(self, amount_minor: int) -> str:
        """Format an amount in the currency's smallest unit, such as ``12.35``."""
        return money(amount_minor, self.decimals)

    @property
    def payable(self) -> str:
        """What is to be paid, such as ``12.35``."""
        return self.money(self.gross_minor)


def make_document(
    usage: Invoice,
    details: InvoiceDetails | None,
    now: datetime.datetime,
    issued: datetime.date | None = None,
) -> InvoiceDocument:
    """Make the invoice of a month's usage.

    Args:
      now: the time, UTC, without a zone.
      issued: its date; None for the first day after the month.

    Raises:
      InvoiceError: `issued` is within the month or before it.
    """
    start, end = month_bounds(usage.month)
    last_day = (end - datetime.timedelta(microseconds=1)).date()
    if issued is not None and issued <= last_day:
        raise InvoiceError(
            f"An invoice is issued after its month. Expected: a day after {last_day}. "
            f"Received: {issued}"
        )
    draft = _why_a_draft(usage, details, now, end)
    buyer = details.buyer(usage.tenant) if details else Buyer(name=usage.tenant)
    lines = _rounded(usage)
    net = sum(lines)
    taxes = tuple(_taxed(tax, net) for tax in (details.taxes(usage.tenant) if details else ()))
    number = due = None
    if draft or details is None:
        issued = None
    else:
        number = invoice_number(details.invoice.number_prefix, usage.tenant, usage.month)
        issued = issued or end.date()
        due = issued + datetime.timedelta(days=details.invoice.due_days)
    return InvoiceDocument(
        usage=usage,
        draft=draft,
        number=number,
        issued=issued,
        due=due,
        first_day=start.date(),
        last_day=last_day,
        seller=details.seller if details else None,
        buyer=buyer,
        decimals=usage.decimals,
        line_amounts_minor=lines,
        net_minor=net,
        taxes=taxes,
        gross_minor=net + sum(tax.amount_minor for tax in taxes),
        notes=(*buyer.notes, *(details.invoice.notes if details else ())),
    )


def _rounded(usage: Invoice) -> tuple[int, ...]:
    """Each line, rounded once; where all was paid in advance, nothing is left of it."""
    lines = [minor_units(line.amount_micro, usage.decimals) for line in usage.lines]
    if lines and usage.lines[-1].kind == CREDIT and not usage.total_micro:
        lines[-1] = -sum(lines[:-1])
    return tuple(lines)


def invoice_number(prefix: str, tenant: str, month: str) -> str:
    """The number of a tenant's invoice for a month, such as ``INV-acme-2026-11``.

    No two tenants and months have the same: what follows the prefix ends with the month, which
    is always as long, and the rest is the tenant's name. A tenant's numbers ascend with its
    months.
    """
    return f"{prefix}{tenant}-{month}"


def _why_a_draft(
    usage: Invoice,
    details: InvoiceDetails | None,
    now: datetime.datetime,
    end: datetime.datetime,
) -> str | None:
    reasons = []
    if now < end:
        reasons.append(f"{usage.month} has not ended")
    elif now - end < CLOCKS_APART:
        reasons.append(f"{usage.month} ended less than an hour ago, and clocks may differ")
    if details is None:
        reasons.append("nobody is named who sells")
    return "; ".join(reasons) or None


def _taxed(tax: Tax, base_minor: int) -> TaxLine:
    percent = f"{tax.percent.normalize():f}"
    amount = rounded(base_minor * tax.rate, RATE_OF_ONE)
    return TaxLine(tax.name, percent, base_minor, amount)
