"""`tallygraph gateway`: sell summaries by the token. No TensorFlow."""

from __future__ import annotations

import gc
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast
from urllib.parse import urlsplit

import typer

from pipelines.cli.console import EXIT_BAD_INPUT, fail, out
from pipelines.cli.database import DATABASE, Database, make_folder, without_password

if TYPE_CHECKING:
    from serving.gateway.ports import Truncation

_FILE = "file:"


def gateway(
    context: typer.Context,
    prices: Annotated[Path, typer.Option(help="The price book, a TOML file.")],
    model_dir: Annotated[
        Path, typer.Option(help="Folder that contains the numbered version folders.")
    ] = Path("build/serving/summarizer"),
    model_name: Annotated[
        str, typer.Option(help="Name of the served model; empty: the folder's name.")
    ] = "",
    model_url: Annotated[
        list[str],
        typer.Option(
            help="URL of a model server: http://host:8501 (REST) or grpc://host:8500; may "
            "be repeated for replicas."
        ),
    ] = ["http://127.0.0.1:8501"],  # noqa: B006  (Typer copies it)
    model_look_every_s: Annotated[
        float, typer.Option(help="Seconds between health checks of a model server.")
    ] = 1.0,
    model_wait_s: Annotated[
        float,
        typer.Option(
            min=0,
            help="Seconds for which a request that finds no model server up waits for one, "
            "before anything is reserved; 0: it is rejected at once.",
        ),
    ] = 60.0,
    label: Annotated[
        str, typer.Option(help="Label of the version to use; empty: the newest version.")
    ] = "",
    canary_label: Annotated[
        str, typer.Option(help="Label of the version to use for a share of the tenants.")
    ] = "",
    canary_percent: Annotated[
        int,
        typer.Option(
            help="Percentage of the tenants that the canary serves, 0 to 100; always the same "
            "tenants."
        ),
    ] = 0,
    database: Database = DATABASE,
    rates: Annotated[
        str,
        typer.Option(
            envvar="TALLYGRAPH_RATES",
            help="Where rates are counted; use redis://host for several gateways, and "
            "file:/path for a file with a URL that has a password.",
        ),
    ] = "async+memory://",
    reads_per_minute: Annotated[
        int,
        typer.Option(
            min=1,
            help="Requests per minute of each tenant that are not charged: counts of tokens, "
            "usage.",
        ),
    ] = 600,
    truncation: Annotated[
        str,
        typer.Option(
            help="What happens to texts that are too long, if a request does not say: auto "
            "(cut off, and said so) or disabled (rejected)."
        ),
    ] = "auto",
    cors_origin: Annotated[
        list[str] | None,
        typer.Option(
            help="Origin whose pages may call the API from a browser, such as "
            "https://app.example.com, or * for all; may be repeated."
        ),
    ] = None,
    cache: Annotated[
        str,
        typer.Option(
            envvar="TALLYGRAPH_CACHE",
            help="Cache for summaries: memory, or redis://host for several gateways, or "
            "file:/path for a file with a URL that has a password; empty: no cache.",
        ),
    ] = "",
    cache_entries: Annotated[
        int, typer.Option(help="Maximum number of summaries in the memory cache.")
    ] = 100_000,
    cache_bytes: Annotated[
        int, typer.Option(help="Maximum size of the memory cache in bytes.")
    ] = 256 * 1024 * 1024,
    cache_ttl_s: Annotated[
        float, typer.Option(help="Seconds after which a cached summary expires.")
    ] = 86_400.0,
    cache_shared: Annotated[
        bool,
        typer.Option(
            "--cache-shared",
            help="Share the cache between tenants. They can then find out that another "
            "tenant sent the same text.",
        ),
    ] = False,
    traces: Annotated[
        str,
        typer.Option(
            envvar="OTEL_EXPORTER_OTLP_ENDPOINT",
            help="URL of a receiver of traces, OTLP over HTTP: http://host:4318; empty: no "
            "traces.",
        ),
    ] = "",
    log_level: Annotated[
        str,
        typer.Option(
            help="Log level: debug, info, warning or error. Logs are lines of JSON on standard "
            "error."
        ),
    ] = "info",
    name: Annotated[
        str,
        typer.Option(help="Name of this gateway in logs; several may have the same."),
    ] = "gateway",
    lease_s: Annotated[
        float,
        typer.Option(
            min=0.1,
            help="Seconds within which the reservations of a gateway that died are released by "
            "those that run.",
        ),
    ] = 30.0,
    keep_answers_days: Annotated[
        float,
        typer.Option(
            min=0,
            help="Days for which an answer is kept for requests that are repeated with its "
            "idempotency key; after that they are rejected, and still not charged.",
        ),
    ] = 30.0,
    keep_undelivered_s: Annotated[
        float,
        typer.Option(
            min=0,
            help="Seconds for which an answer that could not be delivered is kept for the next "
            "identical request.",
        ),
    ] = 600.0,
    ledger_key_file: Annotated[
        Path | None,
        typer.Option(
            envvar="TALLYGRAPH_LEDGER_KEY_FILE",
            help="File of the key with which the ledger's entries are authenticated: at least "
            "32 bytes, as of `openssl rand -hex 32`; not given: they are not.",
        ),
    ] = None,
    events_to: Annotated[
        str,
        typer.Option(
            help="URL to which usage events and alerts are posted as they are written, or a "
            "file to append them to; several gateways share the work. Empty: they wait for "
            "`tallygraph ledger deliver`."
        ),
    ] = "",
    events_token_file: Annotated[
        Path | None, typer.Option(help="File that contains the bearer token for that URL.")
    ] = None,
    database_connections: Annotated[
        int,
        typer.Option(
            min=1, help="Connections to the database for reading; charges have their own."
        ),
    ] = 20,
    drain_s: Annotated[
        float,
        typer.Option(
            min=0,
            help="Seconds for which requests are taken after SIGTERM, while /readyz is 503: "
            "as long as load balancers need to notice. Then the gateway answers what is "
            "under way, and ends.",
        ),
    ] = 0.0,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 8600,
    keep_alive_s: Annotated[
        int,
        typer.Option(
            min=1,
            help="Seconds without a request after which a client's connection is closed: more "
            "than a load balancer in front keeps one open, or it sends requests into "
            "connections that are closing.",
        ),
    ] = 75,
    admin_host: Annotated[
        str,
        typer.Option(
            help="Address for /metrics, /readyz, /model-servers and /admin/v1, which show "
            "tenants and model servers."
        ),
    ] = "127.0.0.1",
    admin_port: Annotated[
        int, typer.Option(help="Port for /metrics, /readyz, /model-servers and /admin/v1.")
    ] = 8601,
    admin_token_file: Annotated[
        Path | None,
        typer.Option(
            envvar="TALLYGRAPH_ADMIN_TOKEN_FILE",
            help="File of bearer tokens for the admin API: on each line a token of at least 32 "
            "characters, as of `openssl rand -hex 32`, after its holder's name and a space or "
            "alone; not given: the API is off.",
        ),
    ] = None,
    invoice_details: Annotated[
        Path | None,
        typer.Option(
            help="TOML file with seller, buyers, terms and taxes, for invoices by the admin "
            "API; not given: they are drafts."
        ),
    ] = None,
) -> None:
    """Serve an OpenAI-compatible API that charges by the token."""
    # Of what is imported nothing is garbage, and looking for it takes a tenth of a start.
    gc.disable()
    import sqlalchemy as sa

    from serving.billing import PriceBookError
    from serving.gateway.admin.tokens import AdminTokenError
    from serving.gateway.backends import BackendError, Canary
    from serving.gateway.cache import CacheError
    from serving.gateway.ops.logs import LEVELS
    from serving.gateway.ops.tracing import TracingError
    from serving.gateway.running import CacheSettings, GatewaySettings, run_gateway
    from serving.gateway.windows_opening import WindowsSettingError
    from serving.ledger import LedgerError
    from serving.ledger.retention import Retention

    gc.enable()
    if log_level not in LEVELS:
        fail(f"Unknown log level {log_level!r}. Expected: {', '.join(LEVELS)}.", EXIT_BAD_INPUT)
    if truncation != "auto" and truncation != "disabled":
        fail(f"Unknown truncation {truncation!r}. Expected: auto or disabled.", EXIT_BAD_INPUT)
    rates = _store(context, "rates", rates)
    cache = _store(context, "cache", cache)
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
        poll_every_s=model_look_every_s,
        model_wait_s=model_wait_s,
        label=label or None,
        canary=canary,
        rates_url=rates,
        reads_per_minute=reads_per_minute,
        truncation=cast("Truncation", truncation),
        cors_origins=cors_origin or (),
        cache=CacheSettings(cache, cache_entries, cache_bytes, cache_ttl_s, cache_shared)
        if cache
        else None,
        traces_url=traces or None,
        log_level=log_level,
        name=name,
        lease_s=lease_s,
        retention=Retention(
            timedelta(days=keep_answers_days), timedelta(seconds=keep_undelivered_s)
        ),
        ledger_key=ledger_key_file,
        events_to=events_to or None,
        events_token=events_token_file,
        database_connections=database_connections,
        drain_s=drain_s,
        host=host,
        port=port,
        keep_alive_s=keep_alive_s,
        admin_host=admin_host,
        admin_port=admin_port,
        admin_tokens=admin_token_file,
        invoice_details=invoice_details,
    )
    out.print(
        f"gateway on http://{host}:{port}/v1, metrics and readiness on "
        f"http://{admin_host}:{admin_port}, ledger {without_password(database)}"
    )
    try:
        run_gateway(settings)
    except (
        *(BackendError, PriceBookError, WindowsSettingError, CacheError, TracingError),
        *(LedgerError, AdminTokenError, OSError),
    ) as error:
        fail(str(error), EXIT_BAD_INPUT)
    except sa.exc.SQLAlchemyError as error:
        fail(f"Cannot open the ledger {without_password(database)}: {error}")


def _store(context: typer.Context, option: str, url: str) -> str:
    """The URL of a store, which may be in a file. Passwords on the command line are refused."""
    if url.startswith(_FILE):
        try:
            return Path(url.removeprefix(_FILE)).read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            fail(f"Cannot read the URL for --{option}: {error}", EXIT_BAD_INPUT)
    source = context.get_parameter_source(option)
    if source is not None and source.name == "COMMANDLINE" and _has_password(url):
        fail(
            f"The URL for --{option} has a password, and every user of this machine can read a "
            f"command line. Set TALLYGRAPH_{option.upper()}, or write the URL into a file and "
            f"use --{option} file:/path.",
            EXIT_BAD_INPUT,
        )
    return url


def _has_password(url: str) -> bool:
    try:
        return bool(urlsplit(url).password)
    except ValueError:
        return "@" in url
