"""`tallygraph tenants`: tenants, their limits and their keys. No TensorFlow."""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from typing import Annotated

import typer
from rich.table import Table

from pipelines.cli.administrator import By, administering
from pipelines.cli.console import err, out
from pipelines.cli.database import DATABASE, Database, checked_month, opened
from pipelines.cli.prices import PlanPrices
from pipelines.cli.tenant_keys import (
    change_key,
    list_keys,
    make,
    number,
    resume,
    revoke,
    rotate,
    suspend,
)
from pipelines.cli.tenant_reports import audit_log, usage

app = typer.Typer(help="Tenants and their API keys.", no_args_is_help=True)

_Limit = Annotated[str | None, typer.Option(help="A number, or none for no limit.")]


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="Name of the tenant.")],
    plan: Annotated[str, typer.Option(help="Plan of the price book.")] = "standard",
    budget_micro: Annotated[
        int | None,
        typer.Option(
            help="Budget per month, in millionths of the currency's unit; not given: no limit."
        ),
    ] = None,
    requests_per_minute: Annotated[
        int | None, typer.Option(help="Not given: no limit.")
    ] = None,
    tokens_per_minute: Annotated[int | None, typer.Option(help="Not given: no limit.")] = None,
    max_concurrent: Annotated[
        int | None, typer.Option(help="Concurrent requests; not given: no limit.")
    ] = None,
    prices: PlanPrices = None,
    by: By = "",
    database: Database = DATABASE,
) -> None:
    """Create a tenant, and print its API key, once."""
    from serving.gateway.administration import create_tenant, make_key
    from serving.gateway.tenants import Limits

    with administering(database, by, create=True, prices=prices, plan=plan) as administrator:
        limits = Limits(budget_micro, requests_per_minute, tokens_per_minute, max_concurrent)
        create_tenant(administrator, name, plan, limits)
        print(make_key(administrator, name).key)


@app.command()
def change(
    name: Annotated[str, typer.Argument(help="Name of the tenant.")],
    plan: Annotated[str | None, typer.Option(help="Plan of the price book.")] = None,
    budget_micro: Annotated[
        str | None,
        typer.Option(
            help="Budget per month, in millionths of the currency's unit, or none for no limit."
        ),
    ] = None,
    requests_per_minute: _Limit = None,
    tokens_per_minute: _Limit = None,
    max_concurrent: _Limit = None,
    prices: PlanPrices = None,
    by: By = "",
    database: Database = DATABASE,
) -> None:
    """Change a tenant's plan or limits; those that are not given stay the same. Running
    gateways follow."""
    from serving.gateway.administration import change_tenant

    given = {
        "budget_micro": budget_micro,
        "requests_per_minute": requests_per_minute,
        "tokens_per_minute": tokens_per_minute,
        "max_concurrent": max_concurrent,
    }
    limits = {key: number(key, text) for key, text in given.items() if text is not None}
    with administering(database, by, prices=prices, plan=plan) as administrator:
        now_plan, now = change_tenant(administrator, name, plan, limits)
    out.print(f"{name}: plan {now_plan}", markup=False)
    for each in fields(now):
        value = getattr(now, each.name)
        out.print(f"{each.name}: {'no limit' if value is None else value}", markup=False)


@app.command()
def alerts(
    name: Annotated[str, typer.Argument(help="Name of the tenant.")],
    percents: Annotated[
        str,
        typer.Argument(help="Shares of its budget in percent, such as 50,80,100, or none."),
    ],
    by: By = "",
    database: Database = DATABASE,
) -> None:
    """Choose at which shares of its monthly budget an event is delivered, once a month each."""
    from serving.gateway.administration import change_alerts
    from serving.ledger.budgets import percents_from_text

    with administering(database, by, tenant=name) as administrator:
        shares = () if percents == "none" else percents_from_text(percents)
        change_alerts(administrator, name, shares)
    out.print(f"alerts of {name} at: {', '.join(f'{each} %' for each in shares) or 'none'}")


@app.command()
def erase(
    name: Annotated[str, typer.Argument(help="Name of the tenant.")],
    yes: Annotated[bool, typer.Option("--yes", help="Erase without asking.")] = False,
    by: By = "",
    database: Database = DATABASE,
) -> None:
    """Erase what a tenant has sent and received: its stored answers, idempotency keys and API
    keys.

    What accounting needs stays: its entries, sums, name and limits. Requests that are repeated
    with an old idempotency key are new ones after this. It cannot be undone.
    """
    from serving.gateway.administration import erase as erase_texts

    with administering(database, by, tenant=name) as administrator:
        if not yes:
            typer.confirm(f"Erase the texts and keys of {name}?", abort=True)
        erased = erase_texts(administrator, name)
    out.print(
        f"erased: {erased.answers} answers, {erased.idempotency_keys} idempotency keys, "
        f"{erased.api_keys} API keys"
    )


@app.command("list")
def list_(
    month: Annotated[
        str, typer.Option(help="Month to show the spending of: YYYY-MM; empty: this month.")
    ] = "",
    after: Annotated[
        str, typer.Option(help="Only tenants whose names come after this one.")
    ] = "",
    limit: Annotated[int, typer.Option(min=1, help="Maximum number of tenants to list.")] = 100,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, with all keys.")] = False,
    database: Database = DATABASE,
) -> None:
    """List the tenants: plan, limits, spending, number of valid keys."""
    from serving.gateway.administration import list_tenants
    from serving.ledger.clock import utc_now

    now = utc_now()
    shown = checked_month(month) or f"{now:%Y-%m}"
    with opened(database) as engine:
        # One more than is shown tells whether there are more.
        known = list_tenants(engine, shown, after, limit + 1)
    if len(known) > limit:
        del known[limit:]
        err.print(f"There are more: --after {known[-1].name}", markup=False)
    if as_json:
        print(json.dumps([asdict(tenant) for tenant in known], indent=2, default=str))
        return
    table = Table(
        "tenant",
        "plan",
        "spent",
        "budget",
        "requests/min",
        "tokens/min",
        "concurrent",
        "keys",
        box=None,
    )
    for tenant in known:
        limits = tenant.limits
        good = sum(key.state(now) == "active" for key in tenant.keys)
        table.add_row(
            tenant.name,
            tenant.plan,
            str(tenant.spent_micro),
            *(
                "-" if value is None else str(value)
                for value in (
                    limits.budget_micro,
                    limits.requests_per_minute,
                    limits.tokens_per_minute,
                    limits.max_concurrent,
                )
            ),
            str(good),
        )
    out.print(table)


for _command, _name in (
    *((make, "key"), (list_keys, "keys"), (change_key, "change-key"), (rotate, "rotate")),
    *((suspend, "suspend"), (resume, "resume"), (revoke, "revoke")),
    *((usage, "usage"), (audit_log, "audit-log")),
):
    app.command(_name)(_command)
