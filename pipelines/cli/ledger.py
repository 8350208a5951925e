"""`tallygraph ledger`: read, check and correct the usage ledger. No TensorFlow."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from pipelines.cli.administrator import By, administering
from pipelines.cli.console import EXIT_BAD_INPUT, EXIT_FAILED, fail, out
from pipelines.cli.database import DATABASE, Database, checked_month, opened
from pipelines.cli.ledger_corrections import KeyFile, refund, reverse, top_up

app = typer.Typer(help="Read, check and correct the usage ledger.", no_args_is_help=True)

_Tenant = Annotated[str, typer.Argument(help="Whose entries.")]


@app.command("list")
def list_(
    tenant: _Tenant,
    month: Annotated[str, typer.Option(help="Month as YYYY-MM; empty: all months.")] = "",
    request: Annotated[
        str, typer.Option(help="Only the entries of this request: the id of its response.")
    ] = "",
    limit: Annotated[
        int,
        typer.Option(min=1, help="Maximum number of entries to list; the newest are shown."),
    ] = 20,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print every field, as JSON.")
    ] = False,
    database: Database = DATABASE,
) -> None:
    """List a tenant's entries, newest first."""
    from serving.ledger.entries import Selection, select_entries

    request_id = request.removeprefix("chatcmpl-")
    selection = Selection(tenant, checked_month(month), request_id, limit=limit)
    with opened(database, tenant=tenant) as engine:
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

    with opened(database, tenant=tenant) as engine:
        entries = select_entries(engine, Selection(tenant, number=number))
    if not entries:
        fail(f"The ledger has no entry {number} for tenant {tenant!r}.", EXIT_BAD_INPUT)
    print(json.dumps(asdict(entries[0]), indent=2, default=str))


@app.command()
def upgrade(
    create: Annotated[
        bool, typer.Option("--create", help="Make the tables where the database has none.")
    ] = False,
    database: Database = DATABASE,
) -> None:
    """Migrate the tables to this version.

    Gateways and commands migrate a ledger when they open it, too; this does nothing else.
    """
    from serving.ledger.upgrade import newest_revision

    with opened(database, create=create):
        out.print(f"The ledger is at revision {newest_revision()}.")


@app.command()
def verify(
    tenant: Annotated[
        str, typer.Option(help="Check only this tenant's entries; empty: all tenants.")
    ] = "",
    key_file: Annotated[
        list[Path] | None,
        typer.Option(
            envvar="TALLYGRAPH_LEDGER_KEY_FILE",
            help="File of a key with which entries and anchors are authenticated; may be "
            "repeated, for keys of earlier times.",
        ),
    ] = None,
    anchors: Annotated[
        list[Path] | None,
        typer.Option(
            help="File of anchors, from `ledger anchor` or `ledger deliver`, that the ledger "
            "must agree with; may be repeated."
        ),
    ] = None,
    archives: Annotated[
        Path | None,
        typer.Option(
            help="Folder of `ledger archive`: the entries in it are checked, too. Without it, "
            "what the ledger says of them is believed."
        ),
    ] = None,
    by: By = "",
    database: Database = DATABASE,
) -> None:
    """Check the hash of every entry, that no entry is missing, and that all sums are right.

    The check leaves a row in the audit log; a database that cannot be written is checked too.
    """
    import sqlalchemy as sa

    from serving.gateway.administration.health import record_check
    from serving.gateway.administration.ledger import Checked
    from serving.ledger import LedgerError, verification
    from serving.ledger.anchors import Anchors, read_anchors
    from serving.ledger.archive import read_archives
    from serving.ledger.authentication import LedgerKey

    with administering(database, by, tenant=tenant) as administrator:
        engine = administrator.engine
        try:
            keys = [LedgerKey.load(path) for path in key_file or []]
            known = read_anchors(anchors, keys) if anchors else Anchors()
            chains = read_archives(engine, archives, keys, known.ends) if archives else {}
        except LedgerError as error:
            fail(str(error), EXIT_BAD_INPUT)
        report = verification.check(engine, tenant or None, keys, known.ends, chains)
        findings = [*known.findings, *map(str, report.findings)]
        checked = Checked(report.checked, report.unauthenticated, known.lines, findings)
        try:
            record_check(administrator, tenant, checked)
        except sa.exc.SQLAlchemyError as error:
            out.print(f"The audit log has no row of this check: {escape(str(error.args[0]))}")
    for finding in findings:
        out.print(f"[red]{escape(finding)}[/]")
    if keys:
        out.print(f"{report.unauthenticated} entries are not authenticated")
    if anchors:
        out.print(f"{known.lines} lines of anchors read")
    out.print(f"{report.checked} entries checked, {len(findings)} findings")
    if findings:
        raise typer.Exit(EXIT_FAILED)


@app.command()
def archive(
    month: Annotated[str, typer.Option(help="The month, such as 2026-11; it must be over.")],
    to: Annotated[
        Path, typer.Option(help="Folder for the file; keep it, and copies of the file.")
    ],
    key_file: KeyFile = None,
    by: By = "",
    database: Database = DATABASE,
) -> None:
    """Move a closed month's entries into a file, which is verified before they are deleted.

    If it is stopped, call it again: nothing is lost, and nothing is written twice.
    """
    from serving.gateway.administration.ledger import archive_ledger
    from serving.ledger.authentication import LedgerKey

    checked_month(month)
    with administering(database, by) as administrator:
        key = LedgerKey.load(key_file) if key_file else None
        done = archive_ledger(administrator, month, to, key)
    out.print(
        f"{done.entries} entries are in {done.path}, {done.removed} of them were removed from "
        "the database now",
        markup=False,
        soft_wrap=True,
    )


@app.command()
def anchor(
    to: Annotated[
        Path | None,
        typer.Option(
            help="File to append to. Keep it where nobody can reach it from the ledger."
        ),
    ] = None,
    by_outbox: Annotated[
        bool, typer.Option("--outbox", help="Have it delivered with the usage events.")
    ] = False,
    key_file: KeyFile = None,
    by: By = "",
    database: Database = DATABASE,
) -> None:
    """Write down how far each tenant's chain has come, so that `ledger verify --anchors` finds
    what is deleted or changed up to there, whatever else is made to fit."""
    from serving.gateway.administration.ledger import anchor_ledger

    if (to is None) != by_outbox:
        fail("Give either --to FILE or --outbox.", EXIT_BAD_INPUT)
    with administering(database, by) as administrator:
        lines = anchor_ledger(administrator, key_file, by_outbox, to)
    how = "authenticated" if key_file else "not authenticated: no key was given"
    out.print(f"{len(lines)} lines of an anchor written, {how}")


app.command()(reverse)
app.command()(refund)
app.command("top-up")(top_up)


@app.command()
def recover(database: Database = DATABASE) -> None:
    """Release what gateways that have died had reserved, while others run.

    It watches their leases first, for at most as long as a lease lasts: 30 seconds, unless the
    gateways were started with another --lease-s. A gateway that runs does the same by itself.
    """
    from serving.ledger import Ledger, recovery

    with opened(database) as engine:
        released = recovery.recover(Ledger(engine, "tallygraph-ledger"))
    for request_id in released:
        out.print(f"released: {request_id}")
    out.print(f"{len(released)} reservations released")


@app.command()
def deliver(
    to: Annotated[str, typer.Option(help="A file to append to, or an http(s) URL.")],
    token_file: Annotated[
        Path | None, typer.Option(help="File that contains the bearer token for the URL.")
    ] = None,
    database: Database = DATABASE,
) -> None:
    """Deliver the pending usage events as CloudEvents, each at least once."""
    from serving.ledger import outbox

    with opened(database) as engine:
        try:
            sink = outbox.open_sink(to, token_file)
            out.print(f"{outbox.deliver(engine, sink)} events delivered")
        except (outbox.DeliveryError, OSError) as error:
            fail(str(error))
