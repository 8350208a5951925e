"""A tenant's invoice for a month in any of its formats, as bytes to keep or send."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from serving.billing.invoice import InvoiceError, make_invoice
from serving.billing.invoice_details import load_details
from serving.billing.invoice_document import make_document
from serving.billing.invoice_formats import FORMATS
from serving.ledger.clock import Clock, utc_now

PDF: Final = "pdf"
MEDIA_TYPES: Final = {
    "text": "text/plain; charset=utf-8",
    "json": "application/json",
    "csv": "text/csv; charset=utf-8",
    "html": "text/html; charset=utf-8",
    PDF: "application/pdf",
}
"""By the format."""


@dataclass(frozen=True, slots=True)
class WrittenInvoice:
    """An invoice in a format.

    Attributes:
      without_letter: characters that no font has, in a PDF.
    """

    content: bytes
    media_type: str
    without_letter: tuple[str, ...] = ()


def write_invoice(
    engine: sa.Engine,
    tenant: str,
    month: str,
    format: str = "json",
    details: Path | None = None,
    issued: str = "",
    fonts: Sequence[Path] = (),
    archives: Path | None = None,
    clock: Clock = utc_now,
) -> WrittenInvoice:
    """Write a tenant's invoice; creating it again gives the same bytes.

    Args:
      month: such as 2026-11.
      format: one of `MEDIA_TYPES`.
      details: file with seller, buyers, terms and taxes; None: it is a draft.
      issued: date of issue, such as 2026-12-02; empty: the first day after the month.
      fonts: for a PDF, see `serving.billing.invoice_pdf`.
      archives: folder of the archives of the ledger, for a month that is archived.
      clock: UTC; a month that has not ended has only drafts.

    Raises:
      InvoiceError: month, format or date is not valid, or the invoice cannot be made.
      DetailsError: the details cannot be used.
    """
    if format not in MEDIA_TYPES:
        raise InvoiceError(
            f"Unknown format {format[:100]!r}. Expected: {', '.join(MEDIA_TYPES)}."
        )
    on = _day(issued)
    named = load_details(details) if details else None
    document = make_document(make_invoice(engine, tenant, month, archives), named, clock(), on)
    if format == PDF:
        from serving.billing.invoice_pdf import as_pdf

        pdf = as_pdf(document, fonts)
        return WrittenInvoice(pdf.content, MEDIA_TYPES[PDF], pdf.without_letter)
    return WrittenInvoice(FORMATS[format](document).encode(), MEDIA_TYPES[format])


def _day(text: str) -> datetime.date | None:
    try:
        return datetime.date.fromisoformat(text) if text else None
    except ValueError:
        raise InvoiceError(
            f"A date of issue is expected in the form 2026-12-02. Received: {text[:100]!r}"
        ) from None
