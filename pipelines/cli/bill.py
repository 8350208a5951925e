"""`tallygraph bill`: invoices, and whether they can be trusted. No TensorFlow."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from pipelines.cli.console import EXIT_BAD_INPUT, EXIT_FAILED, fail, out
from pipelines.cli.database import DATABASE, Database, opened

app = typer.Typer(help="Invoices, and what they are held to.", no_args_is_help=True)


@app.command()
def invoice(
    tenant: Annotated[str, typer.Argument(help="Whose invoice it is.")],
    month: Annotated[str, typer.Argument(help="Such as 2026-11, UTC.")],
    format: Annotated[str, typer.Option(help="json, csv or html.")] = "json",
    database: Database = DATABASE,
) -> None:
    """Print a tenant's invoice of a month; building it again gives the same bytes."""
    from serving.billing.invoice import InvoiceError, make_invoice
    from serving.billing.invoice_formats import FORMATS

    if format not in FORMATS:
        fail(f"Unknown format {format!r}. Expected: {', '.join(FORMATS)}.", EXIT_BAD_INPUT)
    with opened(database) as engine:
        try:
            made = make_invoice(engine, tenant, month)
        except InvoiceError as error:
            fail(str(error), EXIT_BAD_INPUT)
    print(FORMATS[format](made), end="")


@app.command()
def savings(
    tenant: Annotated[str, typer.Argument(help="Whose month it is.")],
    month: Annotated[str, typer.Argument(help="Such as 2026-11, UTC.")],
    month_price: Annotated[float, typer.Option(help="Of an instance, in the currency.")],
    tokens_per_second: Annotated[
        float, typer.Option(help="Tokens that an instance does when it never waits.")
    ],
    use: Annotated[float, typer.Option(help="Share of the time that it is busy.")] = 0.3,
    at_least: Annotated[float, typer.Option(help="Instances that autoscaling keeps.")] = 1.0,
    hourly_premium: Annotated[
        float, typer.Option(help="How much dearer an hour is than a month's.")
    ] = 1.0,
    plot: Annotated[Path | None, typer.Option(help="SVG file to draw.")] = None,
    database: Database = DATABASE,
) -> None:
    """Compare a month's cost by the token with renting instances by the month."""
    from serving.billing import savings as compared
    from serving.billing.invoice import InvoiceError, make_invoice
    from serving.billing.savings_plot import draw_savings

    with opened(database) as engine:
        try:
            renting = compared.Renting(
                month_price, tokens_per_second, use, at_least, hourly_premium
            )
            made = make_invoice(engine, tenant, month)
            tokens = made.input_tokens + made.output_tokens
            result = compared.savings(tokens, made.total_micro, renting)
        except (InvoiceError, ValueError) as error:
            fail(str(error), EXIT_BAD_INPUT)
    out.print(f"{tokens:,} tokens in {month}, costs in {made.currency or 'no currency'}")
    out.print(f"  by the token         {result.by_token:14,.2f}")
    out.print(f"  rented by the month  {result.rented:14,.2f}, {result.idle:,.2f} of it idle")
    out.print(f"  autoscaled           {result.autoscaled:14,.2f}")
    out.print(f"  saved by the token   {result.saved:14,.2f}")
    if plot:
        plot.write_text(draw_savings(result, renting, made.currency), encoding="utf-8")
        out.print(f"drawn: {plot}")


@app.command()
def audit(
    prices: Annotated[Path, typer.Option(help="The price book, a TOML file.")],
    tenant: Annotated[str, typer.Option(help="This one's only; empty: all.")] = "",
    database: Database = DATABASE,
) -> None:
    """Derive every charge again from the price book and the month before it."""
    from serving.billing import PriceBook, PriceBookError
    from serving.billing.audit import audit as audited

    try:
        book = PriceBook.load(prices)
    except PriceBookError as error:
        fail(str(error), EXIT_BAD_INPUT)
    with opened(database) as engine:
        checked, findings = audited(engine, book, tenant or None)
    for finding in findings:
        out.print(f"[red]{escape(str(finding))}[/]")
    out.print(f"{checked} entries priced again, {len(findings)} findings")
    if findings:
        raise typer.Exit(EXIT_FAILED)
