"""The commands of `tallygraph tenants` for API keys."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from pipelines.cli.administrator import By, administering
from pipelines.cli.console import EXIT_BAD_INPUT, fail, out
from pipelines.cli.database import DATABASE, Database, opened

_Tenant = Annotated[str, typer.Argument(help="Name of the tenant.")]
_Key = Annotated[str, typer.Argument(help="The key, or the part between its underscores.")]
_EXPIRES = "UTC, such as 2027-01-31 or 2027-01-31T12:00:00"
_SCOPES = "summaries, count_tokens, models, usage, or * for all"


def make(
    name: _Tenant,
    key_name: Annotated[str, typer.Option("--name", help="Name of the key.")] = "",
    model: Annotated[
        list[str], typer.Option(help="Model that the key may use; may be repeated.")
    ] = ["*"],  # noqa: B006  (Typer copies it)
    scope: Annotated[
        list[str], typer.Option(help=f"What the key is for: {_SCOPES}; may be repeated.")
    ] = ["*"],  # noqa: B006
    budget_micro: Annotated[
        int | None,
        typer.Option(
            help="Budget of the key per month, in millionths, within the tenant's; not given: "
            "no limit of its own."
        ),
    ] = None,
    expires: Annotated[
        str, typer.Option(help=f"When the key ends, {_EXPIRES}; empty: never.")
    ] = "",
    by: By = "",
    database: Database = DATABASE,
) -> None:
    """Create another API key for a tenant, and print it, once."""
    from serving.gateway.administration import KeyWish, make_key

    with administering(database, by) as administrator:
        wish = KeyWish(key_name, tuple(model), tuple(scope), budget_micro, _moment(expires))
        print(make_key(administrator, name, wish).key)


def list_keys(
    name: _Tenant,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    database: Database = DATABASE,
) -> None:
    """List a tenant's keys: name, state, scopes, budget, last use."""
    from serving.gateway.administration import list_keys as keys_of
    from serving.ledger.clock import utc_now

    with opened(database, tenant=name) as engine:
        keys = keys_of(engine, name)
    now = utc_now()
    if as_json:
        print(
            json.dumps(
                [{**asdict(key), "state": key.state(now)} for key in keys],
                indent=2,
                default=str,
            )
        )
        return
    table = Table("key", "name", "state", "scopes", "models", "budget", "last use", box=None)
    for key in keys:
        table.add_row(
            key.key_id,
            escape(key.name),
            key.state(now),
            " ".join(key.scopes),
            escape(" ".join(key.models)),
            "-" if key.budget_micro is None else str(key.budget_micro),
            f"{key.last_used_at:%Y-%m-%d %H:%M:%S}" if key.last_used_at else "-",
        )
    out.print(table)


def change_key(
    key: _Key,
    name: Annotated[str | None, typer.Option(help="Name of the key.")] = None,
    model: Annotated[
        list[str] | None, typer.Option(help="Model that the key may use; may be repeated.")
    ] = None,
    scope: Annotated[
        list[str] | None,
        typer.Option(help=f"What the key is for: {_SCOPES}; may be repeated."),
    ] = None,
    budget_micro: Annotated[
        str | None,
        typer.Option(help="Budget of the key per month, in millionths, or none for no limit."),
    ] = None,
    expires: Annotated[
        str | None, typer.Option(help=f"When the key ends, {_EXPIRES}, or none for never.")
    ] = None,
    by: By = "",
    database: Database = DATABASE,
) -> None:
    """Change a key; what is not given stays the same. Running gateways follow."""
    change: dict[str, Any] = {}
    if name is not None:
        change["name"] = name
    if model:
        change["models"] = tuple(model)
    if scope:
        change["scopes"] = tuple(scope)
    if budget_micro is not None:
        change["budget_micro"] = number("budget_micro", budget_micro)
    if expires is not None:
        change["expires_at"] = None if expires == "none" else _moment(expires)
    _change(key, change, by, database)


def suspend(key: _Key, by: By = "", database: Database = DATABASE) -> None:
    """Suspend a key: it is rejected until it is resumed."""
    _change(key, {"suspended": True}, by, database)


def resume(key: _Key, by: By = "", database: Database = DATABASE) -> None:
    """Accept a suspended key again."""
    _change(key, {"suspended": False}, by, database)


def rotate(
    key: _Key,
    overlap_s: Annotated[
        float,
        typer.Option(min=0, help="Seconds for which the secret before is accepted, too."),
    ] = 86_400.0,
    by: By = "",
    database: Database = DATABASE,
) -> None:
    """Give a key a new secret, and print it, once. Its id, budget and scopes stay."""
    from serving.gateway.administration import rotate_key

    try:
        overlap = timedelta(seconds=overlap_s)
    except (OverflowError, ValueError):
        fail(f"--overlap-s is too long. Received: {overlap_s}", EXIT_BAD_INPUT)
    with administering(database, by) as administrator:
        print(rotate_key(administrator, _id_of(key), overlap).key)


def revoke(key: _Key, by: By = "", database: Database = DATABASE) -> None:
    """Revoke a key: it is rejected from now on."""
    from serving.gateway.administration import revoke_key

    with administering(database, by) as administrator:
        revoke_key(administrator, _id_of(key))
    out.print("revoked")


def number(name: str, text: str) -> int | None:
    """A number, or none for no limit; anything else ends the command."""
    if text == "none":
        return None
    if not (text.isascii() and text.isdecimal()):
        option = name.replace("_", "-")
        fail(
            f"--{option} expects a number, or none for no limit. Received: {text!r}",
            EXIT_BAD_INPUT,
        )
    return int(text)


def _change(key: str, change: dict[str, Any], by: str, database: str) -> None:
    from serving.gateway.administration import change_key
    from serving.ledger.clock import utc_now

    with administering(database, by) as administrator:
        record = change_key(administrator, _id_of(key), change)
    out.print(f"{record.key_id}: {record.state(utc_now())}", markup=False)
    for name in ("name", "models", "scopes", "budget_micro", "expires_at"):
        value = getattr(record, name)
        shown = " ".join(value) if isinstance(value, tuple) else value
        out.print(f"{name}: {'none' if shown is None else shown}", markup=False)


def _id_of(key: str) -> str:
    return key.split("_")[1] if "_" in key else key


def _moment(text: str) -> datetime | None:
    """A time in UTC, without a zone; None for an empty text. Anything else ends the command."""
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
        return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment
    except (ValueError, OverflowError):
        fail(f"A time is expected, {_EXPIRES}. Received: {text!r}", EXIT_BAD_INPUT)
