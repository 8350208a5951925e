"""`tallygraph gateway`, `tenants` and `ledger`: sell summaries by the token. No TensorFlow."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipelines.cli.console import EXIT_BAD_INPUT, EXIT_FAILED, fail, out
from pipelines.cli.database import DATABASE, Database, make_folder, opened, without_password

tenants = typer.Typer(help="Tenants and their API keys.", no_args_is_help=True)
ledger = typer.Typer(help="Check and correct the usage ledger.", no_args_is_help=True)


def gateway(
    prices: Annotated[Path, typer.Option(help="The price book, a TOML file.")],
    model_dir: Annotated[
        Path, typer.Option(help="Folder whose numbered folders are the versions.")
    ] = Path("build/serving/summarizer"),
    model_name: Annotated[
        str, typer.Option(help="Name it is served under; empty takes the folder's.")
    ] = "",
    model_url: Annotated[
        list[str],
        typer.Option(
            help="A model server: http://host:8501 (REST) or grpc://host:8500; may be repeated."
        ),
    ] = ["http://127.0.0.1:8501"],  # noqa: B006  (Typer copies it)
    label: Annotated[
        str, typer.Option(help="Label of the version that answers; empty: the newest.")
    ] = "",
    canary_label: Annotated[
        str, typer.Option(help="Label of the version that a share of the tenants is given.")
    ] = "",
    canary_percent: Annotated[
        int, typer.Option(help="Share of the tenants, 0 to 100; always the same ones.")
    ] = 0,
    database: Database = DATABASE,
    rates: Annotated[
        str,
        typer.Option(help="Where rates are counted: async+redis://host for several gateways."),
    ] = "async+memory://",
    cache: Annotated[
        str,
        typer.Option(help="Caches answers: memory, or redis://host for several; empty: none."),
    ] = "",
    cache_entries: Annotated[
        int, typer.Option(help="Answers that the memory's cache holds at most.")
    ] = 100_000,
    cache_bytes: Annotated[
        int, typer.Option(help="Bytes that the memory's cache holds at most.")
    ] = 256 * 1024 * 1024,
    cache_ttl_s: Annotated[
        float, typer.Option(help="Seconds after which a cached answer is forgotten.")
    ] = 86_400.0,
    cache_shared: Annotated[
        bool,
        typer.Option(
            "--cache-shared",
            help="Answer a tenant by what another one asked for, who can then tell so.",
        ),
    ] = False,
    traces: Annotated[
        str,
        typer.Option(
            envvar="OTEL_EXPORTER_OTLP_ENDPOINT",
            help="Receiver of traces, OTLP over HTTP: http://host:4318; empty: none.",
        ),
    ] = "",
    log_level: Annotated[
        str, typer.Option(help="debug, info, warning or error; JSON lines on standard error.")
    ] = "info",
    name: Annotated[
        str, typer.Option(help="Name of this gateway; no other process may have it.")
    ] = "gateway-0",
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 8600,
) -> None:
    """Serve an OpenAI-compatible API that charges by the token."""
    import sqlalchemy as sa

    from serving.billing import PriceBookError
    from serving.gateway.backend import BackendError, Canary
    from serving.gateway.cache_stores import CacheError
    from serving.gateway.logs import LEVELS
    from serving.gateway.rates import RatesError
    from serving.gateway.running import CacheSettings, GatewaySettings, run_gateway
    from serving.gateway.tracing import TracingError

    if log_level not in LEVELS:
        fail(f"Unknown log level {log_level!r}. Expected: {', '.join(LEVELS)}.", EXIT_BAD_INPUT)
    make_folder(database)
    try:
        wanted = canary_label or canary_percent
        canary = Canary(canary_label, canary_percent) if wanted else None
    except BackendError as error:
        fail(str(error), EXIT_BAD_INPUT)
    settings = GatewaySettings(
        database_url=database,
        prices=prices,
        model_dir=model_dir,
        model_name=model_name or model_dir.resolve().name,
        model_urls=model_url,
        label=label or None,
        canary=canary,
        rates_url=rates,
        cache=CacheSettings(cache, cache_entries, cache_bytes, cache_ttl_s, cache_shared)
        if cache
        else None,
        traces_url=traces or None,
        log_level=log_level,
        name=name,
        host=host,
        port=port,
    )
    out.print(f"gateway on http://{host}:{port}/v1, ledger {without_password(database)}")
    try:
        run_gateway(settings)
    except (BackendError, PriceBookError, RatesError, CacheError, TracingError) as error:
        fail(str(error), EXIT_BAD_INPUT)
    except sa.exc.SQLAlchemyError as error:
        fail(f"Cannot use the ledger {without_password(database)}: {error}")


@tenants.command()
def create(
    name: Annotated[str, typer.Argument(help="Name of the tenant.")],
    plan: Annotated[str, typer.Option(help="Plan of the price book.")] = "standard",
    budget_micro: Annotated[
        int | None, typer.Option(help="Millionths of the currency a month; none: no limit.")
    ] = None,
    requests_per_minute: Annotated[int | None, typer.Option(help="None: no limit.")] = None,
    tokens_per_minute: Annotated[int | None, typer.Option(help="None: no limit.")] = None,
    max_concurrent: Annotated[
        int | None, typer.Option(help="Requests under way at a time; none: no limit.")
    ] = None,
    database: Database = DATABASE,
) -> None:
    """Add a tenant, and print a key of its own, once."""
    from serving.gateway.tenants import Limits, TenantError, Tenants

    with opened(database) as engine:
        try:
            known = Tenants(engine)
            limits = Limits(
                budget_micro, requests_per_minute, tokens_per_minute, max_concurrent
            )
            known.create(name, plan, limits)
            print(known.make_key(name))
        except TenantError as error:
            fail(str(error), EXIT_BAD_INPUT)


@tenants.command()
def key(
    name: Annotated[str, typer.Argument(help="Name of the tenant.")],
    model: Annotated[
        list[str], typer.Option(help="Model that the key may ask; may be repeated.")
    ] = ["*"],  # noqa: B006  (Typer copies it)
    database: Database = DATABASE,
) -> None:
    """Make another key of a tenant, and print it, once."""
    from serving.gateway.tenants import TenantError, Tenants

    with opened(database) as engine:
        try:
            print(Tenants(engine).make_key(name, model))
        except TenantError as error:
            fail(str(error), EXIT_BAD_INPUT)


@tenants.command()
def revoke(
    key: Annotated[str, typer.Argument(help="The key, or the part between its underscores.")],
    database: Database = DATABASE,
) -> None:
    """Refuse a key from now on."""
    from serving.gateway.tenants import TenantError, Tenants

    with opened(database) as engine:
        try:
            Tenants(engine).revoke_key(key.split("_")[1] if "_" in key else key)
        except TenantError as error:
            fail(str(error), EXIT_BAD_INPUT)
    out.print("revoked")


@ledger.command()
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


@ledger.command()
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


@ledger.command()
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
