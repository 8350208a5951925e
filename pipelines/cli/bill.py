"""`tallygraph bill`: invoices, and whether they can be trusted. No TensorFlow."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.markup import escape

from pipelines.cli.console import EXIT_BAD_INPUT, EXIT_FAILED, fail, out
from pipelines.cli.database import DATABASE, Database, opened

if TYPE_CHECKING:
    from serving.billing.reconciliation.reconcile import Reconciled

_SHOWN: Final = 100

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


@app.command()
def reconcile(
    since: Annotated[str, typer.Option(help="From when on, UTC: 2026-11-25T12:00:00.")],
    until: Annotated[str, typer.Option(help="Until when; empty: now.")] = "",
    log: Annotated[
        list[str] | None,
        typer.Option(help="Files of a server's request log (a pattern); may be repeated."),
    ] = None,
    before: Annotated[
        list[str] | None,
        typer.Option(
            help="A server's Prometheus page at the beginning, file or address; may be "
            "repeated. An empty text stands for a server that was not there."
        ),
    ] = None,
    after: Annotated[
        list[str] | None,
        typer.Option(help="The same server's page at the end; may be repeated."),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(help="Of the pages, this model only; may be repeated. None: all."),
    ] = None,
    not_billed: Annotated[
        list[str] | None,
        typer.Option(
            help="summarizer=12: so many of the requests counted are not billed on purpose "
            "and in no log; may be repeated."
        ),
    ] = None,
    slack: Annotated[
        float, typer.Option(help="Seconds between an answer and its charge, at most.")
    ] = 120.0,
    retry: Annotated[
        float, typer.Option(help="Seconds within which the same work again is a retry.")
    ] = 120.0,
    findings: Annotated[
        Path | None, typer.Option(help="File for all findings, a line of JSON each.")
    ] = None,
    temporary: Annotated[
        str, typer.Option(help="Folder that all of Beam's workers reach; empty: a local one.")
    ] = "",
    beam: Annotated[
        list[str] | None, typer.Option(help="Option of Beam, --beam=--runner=...; repeated.")
    ] = None,
    database: Database = DATABASE,
) -> None:
    """Hold the ledger to the model servers' own counters and request logs."""
    from serving.billing.reconciliation.counters import CountersError, counted
    from serving.billing.reconciliation.reconcile import reconcile as compared
    from serving.billing.reconciliation.records import LogsError, Window

    if not log and not after:
        fail(
            "There is nothing to compare with. Give --log, or --before and --after, or both.",
            EXIT_BAD_INPUT,
        )
    try:
        window = Window(_moment(since), _moment(until), slack, retry)
        requests = counted(before or [], after, model or []) if after else None
        with opened(database) as engine:
            result = compared(
                engine,
                window,
                log or [],
                requests,
                dict(_count(each) for each in not_billed or []),
                temporary or None,
                beam or [],
            )
    except (CountersError, ValueError) as error:
        fail(str(error), EXIT_BAD_INPUT)
    except LogsError as error:
        fail(str(error))
    if findings:
        lines = [f"{each.to_json()}\n" for each in result.findings]
        findings.write_text("".join(lines), encoding="utf-8")
    _show(result)
    if result.drift:
        raise typer.Exit(EXIT_FAILED)


def _show(result: Reconciled) -> None:
    from serving.billing.reconciliation.records import DRIFT

    for model, count in sorted(result.billed.items()):
        out.print(f"{escape(model)}: {count} charges for what a server computed")
    for (model, what), count in sorted(result.counts.items()):
        out.print(f"{escape(model)}: {count} {what}")
    for note in result.notes:
        out.print(f"note: {escape(note)}")
    for each in result.findings[:_SHOWN]:
        color = "red" if each.kind in DRIFT else "yellow"
        out.print(f"[{color}]{each.kind}[/]: {escape(each.what)}")
    if (more := len(result.findings) - _SHOWN) > 0:
        out.print(f"and {more} more: --findings FILE has them all")
    for sentence in result.counters:
        out.print(f"[red]counters[/]: {escape(sentence)}")
    out.print("no drift" if not result.drift else f"drift: {result.drift} findings")


def _count(text: str) -> tuple[str, int]:
    model, _, count = text.rpartition("=")
    if not model or not count.isascii() or not count.isdecimal():
        raise ValueError(f"Requests not billed are written summarizer=12. Received: {text!r}")
    return model, int(count)


def _moment(text: str) -> float:
    """Seconds since 1970 of a time, UTC unless it says otherwise; of now for an empty one."""
    try:
        moment = datetime.fromisoformat(text) if text else datetime.now(UTC)
    except ValueError:
        raise ValueError(f"A time is written 2026-11-25T12:00:00. Received: {text!r}") from None
    return moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()
