"""`tallygraph bill`: invoices, and checks of what was charged. No TensorFlow."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.markup import escape

from pipelines.cli.bill_invoice import invoice
from pipelines.cli.console import EXIT_BAD_INPUT, EXIT_FAILED, fail, out
from pipelines.cli.database import DATABASE, Database, opened

if TYPE_CHECKING:
    from serving.billing.reconciliation.reconcile import Reconciled

_SHOWN: Final = 100

app = typer.Typer(
    help="Create invoices, and check charges against prices and model servers.",
    no_args_is_help=True,
)


app.command()(invoice)


@app.command()
def savings(
    tenant: Annotated[str, typer.Argument(help="The tenant.")],
    month: Annotated[str, typer.Argument(help="Month in UTC, such as 2026-11.")],
    month_price: Annotated[
        float,
        typer.Option(
            help="Price of an instance for a month, in the currency of the price book."
        ),
    ],
    tokens_per_second: Annotated[
        float,
        typer.Option(help="Tokens per second that an instance computes when it is never idle."),
    ],
    use: Annotated[
        float,
        typer.Option(
            help="Assumed share of the time that a rented instance is busy; the rest is for "
            "peaks and nights."
        ),
    ] = 0.3,
    at_least: Annotated[
        float, typer.Option(help="Instances that autoscaling always keeps running.")
    ] = 1.0,
    hourly_premium: Annotated[
        float,
        typer.Option(
            help="How many times more an hour of an autoscaled instance costs than an hour of "
            "a rented one."
        ),
    ] = 1.0,
    plot: Annotated[Path | None, typer.Option(help="SVG file to write a chart to.")] = None,
    database: Database = DATABASE,
) -> None:
    """Compare a month's cost by the token with the cost of instances rented by the month."""
    from serving.billing import savings as compared
    from serving.billing.invoice import InvoiceError, make_invoice
    from serving.billing.savings_plot import draw_savings

    with opened(database, tenant=tenant) as engine:
        try:
            renting = compared.Renting(
                month_price, tokens_per_second, use, at_least, hourly_premium
            )
            made = make_invoice(engine, tenant, month)
            tokens = made.input_tokens + made.output_tokens
            result = compared.savings(tokens, made.usage_micro, renting)
        except (InvoiceError, ValueError) as error:
            fail(str(error), EXIT_BAD_INPUT)
    for line in compared.told(result, renting, made.currency, month):
        out.print(line, markup=False)
    if plot:
        title = f"{tenant}, {month}: by the token, or renting?"
        picture = draw_savings(result, renting, made.currency, title)
        plot.write_text(picture, encoding="utf-8")
        out.print(f"drawn: {plot}", markup=False)


@app.command()
def audit(
    prices: Annotated[Path, typer.Option(help="The price book, a TOML file.")],
    tenant: Annotated[
        str, typer.Option(help="Check only this tenant's entries; empty: all tenants.")
    ] = "",
    database: Database = DATABASE,
) -> None:
    """Recalculate every charge from the price book and the tokens that the month had used
    before it."""
    from serving.billing import PriceBook, PriceBookError
    from serving.billing.audit import audit as audited

    try:
        book = PriceBook.load(prices)
    except PriceBookError as error:
        fail(str(error), EXIT_BAD_INPUT)
    with opened(database, tenant=tenant) as engine:
        checked, findings = audited(engine, book, tenant or None)
    for finding in findings:
        out.print(f"[red]{escape(str(finding))}[/]")
    out.print(f"{checked} entries priced again, {len(findings)} findings")
    if findings:
        raise typer.Exit(EXIT_FAILED)


@app.command()
def reconcile(
    since: Annotated[str, typer.Option(help="Start of the window, UTC: 2026-11-25T12:00:00.")],
    until: Annotated[str, typer.Option(help="End of the window; empty: now.")] = "",
    log: Annotated[
        list[str] | None,
        typer.Option(help="Pattern of the files of a server's request log; may be repeated."),
    ] = None,
    before: Annotated[
        list[str] | None,
        typer.Option(
            help="A server's Prometheus page at the start of the window, as a file or URL; "
            "may be repeated. An empty value stands for a server that was not running "
            "yet."
        ),
    ] = None,
    after: Annotated[
        list[str] | None,
        typer.Option(help="The same server's page at the end of the window; may be repeated."),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            help="Compare only the counters of this model; may be repeated. Not given: all "
            "models."
        ),
    ] = None,
    gateway_before: Annotated[
        list[str] | None,
        typer.Option(
            help="A gateway's metrics page at the start of the window, as a file or URL, for "
            "its requests that only counted tokens; may be repeated. An empty value stands "
            "for a gateway that was not running yet."
        ),
    ] = None,
    gateway_after: Annotated[
        list[str] | None,
        typer.Option(
            help="The same gateway's page at the end of the window; may be repeated. Not "
            "needed with --log, which shows those requests."
        ),
    ] = None,
    not_billed: Annotated[
        list[str] | None,
        typer.Option(
            help="Number of counted requests that are intentionally not billed and in no "
            "log, such as summarizer=12; may be repeated."
        ),
    ] = None,
    slack: Annotated[
        float, typer.Option(help="Maximum number of seconds between a response and its charge.")
    ] = 120.0,
    retry: Annotated[
        float,
        typer.Option(help="Seconds within which a repeated computation counts as a retry."),
    ] = 120.0,
    findings: Annotated[
        Path | None, typer.Option(help="File to write all findings to, one line of JSON each.")
    ] = None,
    temporary: Annotated[
        str, typer.Option(help="Folder that all Beam workers can reach; empty: a local one.")
    ] = "",
    beam: Annotated[
        list[str] | None,
        typer.Option(help="Option for Beam, such as --beam=--runner=...; may be repeated."),
    ] = None,
    database: Database = DATABASE,
) -> None:
    """Compare the ledger with the model servers' own counters and request logs."""
    from serving.billing.reconciliation.counters import (
        CountersError,
        counted,
        read_gateway_page,
    )
    from serving.billing.reconciliation.reconcile import reconcile as compared
    from serving.billing.reconciliation.records import LogsError, Window

    if not log and not after:
        fail(
            "There is nothing to compare the ledger with. Give --log, or --before and "
            "--after, or both.",
            EXIT_BAD_INPUT,
        )
    try:
        window = Window(_moment(since), _moment(until), slack, retry)
        requests = counted(before or [], after, model or []) if after else None
        known: Counter[str] = Counter(dict(_count(each) for each in not_billed or []))
        if gateway_after and not log:
            counting = counted(
                gateway_before or [], gateway_after, model or [], read_gateway_page
            )
            for (name, _), count in counting.items():
                known[name] += count
        with opened(database) as engine:
            result = compared(
                engine,
                window,
                log or [],
                requests,
                known,
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
        out.print(f"{escape(model)}: {count} charges for requests that a server computed")
    for (model, what), count in sorted(result.counts.items()):
        out.print(f"{escape(model)}: {count} {what}")
    for note in result.notes:
        out.print(f"note: {escape(note)}")
    for each in result.findings[:_SHOWN]:
        color = "red" if each.kind in DRIFT else "yellow"
        out.print(f"[{color}]{each.kind}[/]: {escape(each.what)}")
    if (more := len(result.findings) - _SHOWN) > 0:
        out.print(f"and {more} more; use --findings FILE to write all of them to a file")
    for sentence in result.counters:
        out.print(f"[red]counters[/]: {escape(sentence)}")
    out.print("no drift" if not result.drift else f"drift: {result.drift} findings")


def _count(text: str) -> tuple[str, int]:
    model, _, count = text.rpartition("=")
    if not model or not count.isascii() or not count.isdecimal():
        raise ValueError(
            "--not-billed expects a model and a number of requests, such as summarizer=12. "
            f"Received: {text!r}"
        )
    return model, int(count)


def _moment(text: str) -> float:
    """Seconds since 1970 of a time, in UTC unless it has a zone; an empty text means now."""
    try:
        moment = datetime.fromisoformat(text) if text else datetime.now(UTC)
    except ValueError:
        raise ValueError(
            f"A time is expected in the form 2026-11-25T12:00:00. Received: {text!r}"
        ) from None
    return moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()
