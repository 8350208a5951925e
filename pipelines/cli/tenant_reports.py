"""The commands of `tallygraph tenants` that tell what was used, and what was changed."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated, cast

import typer
from rich.markup import escape
from rich.table import Table

from pipelines.cli.console import EXIT_BAD_INPUT, err, fail, out
from pipelines.cli.database import DATABASE, Database, opened


def usage(
    name: Annotated[
        str, typer.Argument(help="Name of the tenant; not given: all tenants.")
    ] = "",
    since: Annotated[str, typer.Option(help="First day, such as 2026-11-01, UTC.")] = "",
    until: Annotated[str, typer.Option(help="Last day, such as 2026-11-30, UTC.")] = "",
    by: Annotated[
        list[str],
        typer.Option(help="What is told apart: tenant, day, key_id, model; may be repeated."),
    ] = ["day", "key_id", "model"],  # noqa: B006  (Typer copies it)
    limit: Annotated[int, typer.Option(min=1, help="Maximum number of rows to list.")] = 1000,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    database: Database = DATABASE,
) -> None:
    """Show what was used, by day, key and model: charges less what was reversed."""
    from serving.gateway.administration import usage_by
    from serving.gateway.tenants import TenantError
    from serving.ledger.daily_usage import Dimension, UsageQuery

    query = UsageQuery(
        since, until, cast("tuple[Dimension, ...]", tuple(by)), name, limit=limit + 1
    )
    with opened(database, tenant=name) as engine:
        try:
            rows = usage_by(engine, query)
        except TenantError as error:
            fail(str(error), EXIT_BAD_INPUT)
    if len(rows) > limit:
        del rows[limit:]
        err.print("There are more: give a higher --limit, or fewer days.", markup=False)
    if as_json:
        listed = [
            dict(zip(by, row.of, strict=True))
            | {key: value for key, value in asdict(row).items() if key != "of"}
            for row in rows
        ]
        print(json.dumps(listed, indent=2))
        return
    table = Table(*by, "requests", "in", "cached", "out", "millionths", box=None)
    for row in rows:
        counts = (
            *(row.requests, row.input_tokens, row.cached_tokens, row.output_tokens),
            row.amount_micro,
        )
        table.add_row(*(escape(each) or "-" for each in row.of), *map(str, counts))
    out.print(table)


def audit_log(
    name: Annotated[
        str, typer.Argument(help="Name of the tenant; not given: all changes.")
    ] = "",
    before: Annotated[
        int | None, typer.Option(help="Only changes that are older than the one of this id.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="Maximum number of changes to list.")] = 50,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    database: Database = DATABASE,
) -> None:
    """List what administrators changed, the newest first: who, when, before and after."""
    from serving.ledger.audit_log import read_changes

    with opened(database, tenant=name) as engine:
        # One more than is shown tells whether there are more.
        changes = read_changes(engine, limit + 1, before, name)
    if len(changes) > limit:
        del changes[limit:]
        err.print(f"There are more: --before {changes[-1].id}", markup=False)
    if as_json:
        print(json.dumps([asdict(each) for each in changes], indent=2, default=str))
        return
    table = Table("id", "UTC", "who", "via", "change", "of", "before", "after", box=None)
    for each in changes:
        table.add_row(
            str(each.id),
            f"{each.at:%Y-%m-%d %H:%M:%S}",
            escape(each.actor),
            each.via,
            each.action,
            escape(each.subject),
            escape(json.dumps(each.before, ensure_ascii=False)),
            escape(json.dumps(each.after, ensure_ascii=False)),
        )
    out.print(table)
