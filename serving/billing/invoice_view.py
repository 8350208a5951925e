"""What a person reads on an invoice, in order: shared by the text, the page and the PDF."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from serving.billing.invoice import CREDIT, InvoiceLine, micro
from serving.billing.invoice_details import Party
from serving.billing.invoice_document import InvoiceDocument

HEADINGS: Final = ("Item", "Usage of", "Requests", "Tokens", "Price of 1,000", "Amount")
_METERS: Final = {
    "input": "input tokens",
    "cached": "input tokens from a cache",
    "output": "output tokens",
    "all": "tokens",
}


@dataclass(frozen=True, slots=True)
class InvoiceView:
    """An invoice as texts.

    Attributes:
      facts: what is said of the whole invoice, as label and value.
      seller, buyer, payment, notes: lines.
      rows: a text for each of `HEADINGS`.
      totals: label and amount.
      origin: which part of the ledger it was made from.
    """

    title: str
    draft: str | None
    facts: tuple[tuple[str, str], ...]
    seller: tuple[str, ...]
    buyer: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    totals: tuple[tuple[str, str], ...]
    payment: tuple[str, ...]
    notes: tuple[str, ...]
    origin: str


def view_of(document: InvoiceDocument) -> InvoiceView:
    """Return what an invoice says."""
    usage, currency = document.usage, document.usage.currency
    period = f"{document.first_day} to {document.last_day} (UTC)"
    facts = [
        ("Invoice number", document.number),
        ("Issued", document.issued and str(document.issued)),
        ("Due", document.due and str(document.due)),
        ("Period", period),
        ("Currency", currency),
        ("Requests", f"{usage.requests:,}"),
    ]
    return InvoiceView(
        title="Draft: not an invoice" if document.draft else "Invoice",
        draft=document.draft,
        facts=tuple((label, value) for label, value in facts if value),
        seller=_lines_of(document.seller) if document.seller else (),
        buyer=_lines_of(document.buyer),
        rows=tuple(
            (
                _item(line),
                line.month,
                f"{line.requests:,}",
                f"{line.tokens:,}",
                "" if (price := line.price_micro_per_1k_tokens) is None else micro(price),
                document.money(amount),
            )
            for line, amount in zip(usage.lines, document.line_amounts_minor, strict=True)
        ),
        totals=(
            ("Net amount", document.money(document.net_minor)),
            *(
                (
                    f"{tax.name}, {tax.percent} % of {document.money(tax.base_minor)}",
                    document.money(tax.amount_minor),
                )
                for tax in document.taxes
            ),
            (f"To pay, {currency}" if currency else "To pay", document.payable),
        ),
        payment=document.seller.payment if document.seller else (),
        notes=document.notes,
        origin=(
            f"Made from the entries {usage.first_entry} to {usage.last_entry} of the ledger; "
            f"hash of the last: {usage.last_hash}"
            if usage.lines
            else "The ledger has no entries for this invoice."
        ),
    )


def _item(line: InvoiceLine) -> str:
    if line.kind == CREDIT:
        return "Paid in advance"
    if line.kind == "refund" and line.meter == "all":
        return f"Refund: {line.model} (price {line.price_id})"
    tier = "" if line.meter == "all" else f", tier {line.tier}" if line.tier else ", free"
    what = {"reversal": "Reversal: ", "refund": "Refund: "}.get(line.kind, "")
    return f"{what}{line.model}, {_METERS[line.meter]}{tier} (price {line.price_id})"


def _lines_of(party: Party) -> tuple[str, ...]:
    tax_id = (f"Tax id: {party.tax_id}",) if party.tax_id else ()
    email = (party.email,) if party.email else ()
    return (party.name, *party.address, *tax_id, *email)
