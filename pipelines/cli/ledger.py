"""`tallygraph ledger`: read, check and correct the usage ledger. No TensorFlow."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from pipelines.cli.console import EXIT_BAD_INPUT, EXIT_FAILED, fail, out
from pipelines.cli.database import DATABASE, Database, opened

app = typer.Typer(help="Read, check and correct the usage ledger.", no_args_is_help=True)

_Tenant = Annotated[str, typer.Argument(help="Whose entries.")]


@app.command("list")
def list_(
    tenant: _Tenant,
    month: Annotated[str, typer.Option(help="YYYY-MM; empty: all.")] = "",
    request: Annotated[
        str, typer.Option(help="Of this request only: the id of its answer.")
    ] = "",
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the newest ones.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Every field, as JSON.")] = False,
    database: Database = DATABASE,
) -> None:
    """List a tenant's entries, the newest first."""
    from serving.ledger.entries import Selection, select_entries

    request_id = request.removeprefix("chatcmpl-")
    selection = Selection(tenant, month, request_id, limit=limit)
    with opened(database) as engine:
        entries = select_entries(engine, selection)
    if as_json:
        print(json.dumps([asdict(entry) for entry in entries], indent=2, default=str))
        return
    table = Table(
        "entry",
        "UTC",
        "kind",
        "model",
        "in",
        "cached",
        "out",
        "millionths",
        "",
        "request",
        box=None,
    )
    for entry in entries:
        table.add_row(
            str(entry.number),
            f"{entry.created_at:%Y-%m-%d %H:%M:%S}",
            entry.kind,
            f"{entry.model} {entry.model_version}",
            str(entry.input_tokens),
            str(entry.cached_tokens),
            str(entry.output_tokens),
            str(entry.amount_micro),
            entry.currency,
            entry.request_id,
        )
    out.print(table)


@app.command()
def show(
    tenant: _Tenant,
    number: Annotated[int, typer.Argument(help="Number of the entry.")],
    database: Database = DATABASE,
) -> None:
    """Show an entry with every field, as JSON."""
    from serving.ledger.entries import Selection, select_entries

    with opened(database) as engine:
        entries = select_entries(engine, Selection(tenant, number=number))
    if not entries:
        fail(f"The ledger has no entry {number} of {tenant!r}.", EXIT_BAD_INPUT)
    print(json.dumps(asdict(entries[0]), indent=2, default=str))


@app.command()
def verify(
    tenant: Annotated[str, typer.Option(help="This one's only; empty: all.")] = "",
    database: Database = DATABASE,
) -> None:
    """Check every entry's hash, that none is missing, and that all adds up."""
    from serving.ledger import verification

    with opened(database) as engine:
        checked, findings = verification.verify(engine, tenant or None)
    for finding in findings:
        out.print(f"[red]{finding}[/]")
    out.print(f"{checked} entries checked, {len(findings)} findings")
    if findings:
        raise typer.Exit(EXIT_FAILED)


@app.command()
def reverse(
    tenant: Annotated[str, typer.Argument(help="Whose entry it is.")],
    number: Annotated[int, typer.Argument(help="Number of the charge's entry.")],
    reason: Annotated[str, typer.Option(help="For whoever reads the ledger.")],
    database: Database = DATABASE,
) -> None:
    """Take a charge back by an entry of its negatives."""
    from serving.ledger import Ledger, LedgerError

    with opened(database) as engine:
        try:
            entry = Ledger(engine, "tallygraph-ledger").reverse(tenant, number, reason)
        except LedgerError as error:
            fail(str(error), EXIT_BAD_INPUT)
    out.print(f"entry {entry.number}: {entry.amount_micro} millionths {entry.currency}")


@app.command()
def deliver(
    to: Annotated[str, typer.Option(help="A file to append to, or an http(s) address.")],
    token_file: Annotated[
        Path | None, typer.Option(help="File of a bearer token for the address.")
    ] = None,
    database: Database = DATABASE,
) -> None:
    """Deliver the usage events that wait, as CloudEvents, each at least once."""
    from serving.ledger import outbox

    with opened(database) as engine:
        try:
            token = token_file.read_text().strip() if token_file else None
            web = to.startswith(("http://", "https://"))
            sink = outbox.to_http(to, token) if web else outbox.to_file(Path(to))
            out.print(f"{outbox.deliver(engine, sink)} events delivered")
        except (outbox.DeliveryError, OSError) as error:
            fail(str(error))
