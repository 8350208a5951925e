"""Runs the gateway as a process: opens the ledger, serves until it is stopped."""

from __future__ import annotations

import contextlib
import gc
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import sqlalchemy as sa
from uvicorn.config import STARTUP_FAILURE

from serving.billing.price_book_file import PriceBookFile
from serving.bounded_http import KEEP_ALIVE_S
from serving.gateway.admin.access import Admin
from serving.gateway.admin.routes import admin_routes
from serving.gateway.admin.tokens import AdminTokens
from serving.gateway.admission import READS_PER_MINUTE, Rates
from serving.gateway.backends import Canary, ServedModel
from serving.gateway.backends.model import MODEL_WAIT_S, POLL_EVERY_S
from serving.gateway.cache import AnswerCache, open_store
from serving.gateway.console.routes import console_routes
from serving.gateway.http.app import create_app, create_private_app
from serving.gateway.ops.logs import configure_logs
from serving.gateway.ops.metrics import Metrics
from serving.gateway.ops.observed import VersionTally
from serving.gateway.ops.tracing import open_tracer
from serving.gateway.ports import Truncation
from serving.gateway.servers import GatewayServer, server_config
from serving.gateway.tenants import Tenants
from serving.gateway.windows_opening import MEMORY, open_windows
from serving.gateway.wiring import open_gateway
from serving.ledger import Ledger
from serving.ledger.authentication import LedgerKey
from serving.ledger.database import open_database
from serving.ledger.delivery import EventDelivery
from serving.ledger.leases import LEASE_S, Lease
from serving.ledger.opening import open_ledger
from serving.ledger.outbox import open_sink
from serving.ledger.recovery import LeaseKeeper
from serving.ledger.retention import KEEP, Retention, remove_expired

# For charges, the lease and the delivery of events: what is read never keeps them waiting.
_CHARGING_CONNECTIONS: Final = 4


@dataclass(frozen=True)
class CacheSettings:
    """How answers are cached; see `serving.gateway.cache`.

    Attributes:
      url: ``memory``, or a Redis: ``redis://host:6379/0``.
      max_entries, max_bytes: of the memory's.
      ttl_s: how long an answer is kept.
      shared: among tenants.
    """

    url: str
    max_entries: int = 100_000
    max_bytes: int = 256 * 1024 * 1024
    ttl_s: float = 86_400.0
    shared: bool = False

    def open(self, metrics: Metrics) -> AnswerCache:
        """
        Raises:
          CacheError: there is no such cache.
        """
        store = open_store(self.url, self.max_entries, self.max_bytes, self.ttl_s)
        return AnswerCache(store, metrics, self.shared)


@dataclass(frozen=True)
class GatewaySettings:
    """What a gateway is started with.

    Attributes:
      database_url: of the ledger.
      prices: the price book's file.
      model_dir: folder of the model's versions.
      model_urls: addresses of the model servers, REST or gRPC.
      poll_every_s: how often each model server is asked which versions it has.
      model_wait_s: how long a request that finds no model server up waits for one; 0: not at
        all.
      label: of the version that serves; None for the newest.
      canary: the tenants that another label's version serves.
      rates_url: where requests and tokens a minute are counted, see
        `serving.gateway.windows_opening`.
      reads_per_minute: requests of each tenant that are not charged.
      truncation: of texts that are too long, where a request does not say.
      cors_origins: whose pages may call the API from a browser; ``*`` for all.
      name: of this gateway in logs; several may have the same.
      lease_s: within so long after it has died, what it had reserved is released.
      retention: how long answers are kept.
      ledger_key: file of the key that entries are authenticated with; None: they are not.
      database_connections: for what is read; charges have connections of their own.
      events_to: URL or file that usage events are delivered to; None: they are not delivered.
      events_token: file of the bearer token for the URL; None for none.
      cache: None for none.
      traces_url: receiver of OTLP over HTTP; None for no traces.
      drain_s: how long requests are taken after SIGTERM, when it is no longer ready.
      host, port: where clients call the API.
      keep_alive_s: after so many seconds without a request, a connection of a client is closed.
      admin_host, admin_port: where those who run it find metrics, readiness, the admin API and
        the console.
      admin_tokens: file of the tokens for the admin API; None: it is off.
      invoice_details: file with seller, buyers and taxes, for invoices by the admin API.
      log_level: of the logs on standard error, see `serving.gateway.ops.logs`.
    """

    database_url: str
    prices: Path
    model_dir: Path
    model_name: str
    model_urls: Sequence[str]
    poll_every_s: float = POLL_EVERY_S
    model_wait_s: float = MODEL_WAIT_S
    label: str | None = None
    canary: Canary | None = None
    name: str = "gateway"
    lease_s: float = LEASE_S
    retention: Retention = KEEP
    ledger_key: Path | None = None
    database_connections: int = 20
    events_to: str | None = None
    events_token: Path | None = None
    rates_url: str = MEMORY
    reads_per_minute: int = READS_PER_MINUTE
    truncation: Truncation = "auto"
    cors_origins: Sequence[str] = ()
    cache: CacheSettings | None = None
    traces_url: str | None = None
    log_level: str = "info"
    drain_s: float = 0.0
    host: str = "127.0.0.1"
    port: int = 8600
    keep_alive_s: int = KEEP_ALIVE_S
    admin_host: str = "127.0.0.1"
    admin_port: int = 8601
    admin_tokens: Path | None = None
    invoice_details: Path | None = None


def run_gateway(settings: GatewaySettings) -> None:
    """Serve until SIGTERM or SIGINT; requests under way are answered.

    Raises:
      PriceBookError: the price book is wrong.
      AdminTokenError: the tokens for the admin API cannot be read.
      BackendError: the URL of a model server is not valid, a canary without a label, or no
        time between two health checks.
      CacheError: answers cannot be cached as asked.
      WindowsSettingError: rates cannot be counted where they should be.
      TracingError: traces are wanted and cannot be made.
      ValueError: the log level is not valid, or the time of the lease.
      OSError: the token for events cannot be read.
      LedgerError: the database has another program's tables, or a later version's; the ledger's
        key cannot be read.
      sqlalchemy.exc.SQLAlchemyError: the database cannot be reached or written.
    """
    configure_logs(settings.log_level)
    metrics = Metrics()
    prices = PriceBookFile(settings.prices, told=metrics.price_book)
    tracer = open_tracer(settings.traces_url)
    rates = Rates(open_windows(settings.rates_url), settings.reads_per_minute)
    model = ServedModel(
        settings.model_name,
        settings.model_urls,
        settings.model_dir,
        settings.label,
        settings.canary,
        poll_every_s=settings.poll_every_s,
        wait_s=settings.model_wait_s,
    )
    cache = settings.cache.open(metrics) if settings.cache else None
    charging = open_ledger(settings.database_url, create=True, pool_size=_CHARGING_CONNECTIONS)
    engine = open_database(settings.database_url, settings.database_connections)
    lease = Lease(charging, settings.name, settings.lease_s)
    lease.renew()
    key = LedgerKey.load(settings.ledger_key) if settings.ledger_key else None
    ledger = Ledger(charging, lease, retention=settings.retention, key=key)
    delivery = _delivery(settings, charging, lease, metrics)
    tenants, tally = Tenants(engine), VersionTally(charging)
    keeper = LeaseKeeper(
        ledger,
        lease,
        [prices.follow, lambda: remove_expired(charging), tenants.write_last_use, tally.write],
    )
    gateway = open_gateway(
        engine,
        tenants,
        model,
        ledger,
        prices,
        rates,
        metrics,
        cache=cache,
        tracer=tracer,
        tally=tally,
        truncation=settings.truncation,
        cors_origins=settings.cors_origins,
    )
    admin = Admin(
        engine,
        prices,
        AdminTokens.load(settings.admin_tokens) if settings.admin_tokens else None,
        tenants.forget,
        settings.invoice_details,
        settings.ledger_key,
    )

    # What is there now stays: no garbage collection needs to visit it.
    gc.collect()
    gc.freeze()
    # What a request makes is gone with it, all but a few cycles: to look for them at each 700
    # objects took a twentieth of the processor's time.
    gc.set_threshold(10_000, 20, 20)
    server = GatewayServer(
        server_config(create_app(gateway), settings.host, settings.port, settings.keep_alive_s),
        server_config(
            create_private_app(
                gateway,
                [
                    *admin_routes(admin),
                    *console_routes(admin, gateway, settings.label, settings.canary),
                ],
            ),
            settings.admin_host,
            settings.admin_port,
        ),
        on_bound=lambda: _start(keeper, delivery),
        drain=gateway.drain,
        drain_s=settings.drain_s,
    )
    try:
        with contextlib.suppress(KeyboardInterrupt):
            server.run()
    finally:
        if delivery is not None:
            delivery.stop()
        keeper.stop()
        engine.dispose()
        charging.dispose()
    if not server.started:
        sys.exit(STARTUP_FAILURE)


def _delivery(
    settings: GatewaySettings, engine: sa.Engine, lease: Lease, metrics: Metrics
) -> EventDelivery | None:
    if settings.events_to is None:
        return None
    sink = open_sink(settings.events_to, settings.events_token)
    return EventDelivery(engine, lease, sink, metrics.events_delivered)


def _start(keeper: LeaseKeeper, delivery: EventDelivery | None) -> None:
    keeper.start()
    if delivery is not None:
        delivery.start()
