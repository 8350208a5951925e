"""`tallygraph bill invoice`: a tenant's invoice for a month, to read, to send or to import."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from pipelines.cli.console import EXIT_BAD_INPUT, err, fail
from pipelines.cli.database import DATABASE, Database, opened


def invoice(
    tenant: Annotated[str, typer.Argument(help="The tenant.")],
    month: Annotated[str, typer.Argument(help="Month in UTC, such as 2026-11.")],
    format: Annotated[str, typer.Option(help="Format: text, json, csv, html or pdf.")] = "json",
    details: Annotated[
        Path | None,
        typer.Option(
            help="TOML file with seller, buyers, terms and taxes. Without it, only a draft can "
            "be made."
        ),
    ] = None,
    issued: Annotated[
        str,
        typer.Option(
            help="Date of issue, such as 2026-12-02; empty: the first day after the month."
        ),
    ] = "",
    output: Annotated[
        Path | None, typer.Option(help="File to write to; not given: print it.")
    ] = None,
    font: Annotated[
        list[Path] | None,
        typer.Option(
            help="TrueType or OpenType file for names in a script that no bundled font has; "
            "may be repeated. Only for pdf."
        ),
    ] = None,
    archives: Annotated[
        Path | None,
        typer.Option(help="Folder of `ledger archive`, for a month that is archived."),
    ] = None,
    database: Database = DATABASE,
) -> None:
    """Print a tenant's invoice for a month; creating it again gives the same bytes.

    Until the month has ended, it is a draft without a number.
    """
    from serving.billing.invoice import InvoiceError
    from serving.billing.invoice_details import DetailsError
    from serving.billing.invoicing import MEDIA_TYPES, PDF, write_invoice

    if format not in MEDIA_TYPES:
        fail(f"Unknown format {format!r}. Expected: {', '.join(MEDIA_TYPES)}.", EXIT_BAD_INPUT)
    if format == PDF and output is None and sys.stdout.isatty():
        fail("A PDF is not for a terminal. Give a file with --output.", EXIT_BAD_INPUT)
    try:
        with opened(database, tenant=tenant) as engine:
            written = write_invoice(
                engine, tenant, month, format, details, issued, font or (), archives
            )
    except (InvoiceError, DetailsError) as error:
        fail(str(error), EXIT_BAD_INPUT)
    content, missing = written.content, written.without_letter
    if output:
        try:
            output.write_bytes(content)
        except OSError as error:
            fail(f"Cannot write the invoice: {error}")
    else:
        sys.stdout.flush()  # what was printed before it comes before it
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
    if missing:
        shown = ", ".join(f"U+{ord(letter):04X}" for letter in missing)
        err.print(
            f"warning: no font has these characters, which are boxes in the PDF: {shown}. "
            "Give a font that has them with --font.",
            markup=False,
        )
