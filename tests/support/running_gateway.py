"""A gateway in this process, on a loop and a thread of its own; see the fixture ``gateway``.

One that many tests share shows each of them its own tenants only: those whose names begin with
its prefix.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import itertools
import socket
import threading
import time
from collections.abc import Coroutine, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import httpx
import orjson
import sqlalchemy as sa
import uvicorn

from serving.billing.price_book_file import PriceBookFile
from serving.gateway.admin.access import Admin
from serving.gateway.admin.routes import admin_routes
from serving.gateway.admin.tokens import AdminTokens
from serving.gateway.admission import READS_PER_MINUTE, Rates
from serving.gateway.backends import ServedModel
from serving.gateway.backends.model import POLL_EVERY_S
from serving.gateway.console.routes import console_routes
from serving.gateway.http.app import create_app, create_private_app
from serving.gateway.http.response_schemas import Failure
from serving.gateway.ledger_outages import SETTLE_FOR_S
from serving.gateway.ops.metrics import Metrics
from serving.gateway.running import CacheSettings
from serving.gateway.servers import GatewayServer, server_config
from serving.gateway.tenants import Limits, Tenants
from serving.gateway.windows import MemoryWindows
from serving.gateway.windows_opening import MEMORY, open_windows
from serving.gateway.wiring import open_gateway
from serving.ledger import Ledger, schema
from serving.ledger.clock import Clock
from serving.ledger.database import open_database
from serving.ledger.leases import Lease
from serving.ledger.verification import verify
from serving.ledger.verified_chain import Finding
from tests.support.fresh_ledger import sqlite_ledger
from tests.support.rate_time import RATE_TIME
from tests.support.tenants import add_key, add_tenant
from tests.support.waiting import wait_until

T = TypeVar("T")

DEADLINE_S = 120
"""For what takes a moment: whoever waits so long waits in vain."""

PRICES = """
currency = "EUR"

[[prices]]
id = "2026"
valid_from = 2020-01-01
model = "summarizer"
plan = "standard"
price_micro_per_1k_input_tokens = 1000
price_micro_per_1k_cached_tokens = 100
price_micro_per_1k_output_tokens = 10000
"""
# The small model reads 8 words and writes 4: so much can a text cost.
MOST_MICRO = 8 + 40

_NUMBERS = itertools.count(1)
_IMPORTED_AT = time.monotonic()


def mid_month() -> datetime.datetime:
    """A clock that goes as others do, and is far from the end of any month."""
    return datetime.datetime(2026, 11, 10, 12) + datetime.timedelta(
        seconds=time.monotonic() - _IMPORTED_AT
    )


@dataclass(frozen=True)
class RunningGateway:
    """A gateway that answers at ``url``, and what is behind it.

    Attributes:
      loop: that it runs on, in a thread of its own.
      prefix: of the names of the tenants that are looked at.
    """

    url: str
    port: int
    admin_url: str
    engine: sa.Engine
    tenants: Tenants
    loop: asyncio.AbstractEventLoop
    server: uvicorn.Server
    model: ServedModel
    prefix: str = ""

    def for_one_test(self) -> RunningGateway:
        """The same, with tenants that no other test has."""
        return replace(self, prefix=f"t{next(_NUMBERS)}-")

    def name(self, tenant: str) -> str:
        return self.prefix + tenant

    def key(self, tenant: str = "acme", **limits: int) -> str:
        add_tenant(self.engine, self.name(tenant), Limits(**limits))
        return add_key(self.engine, self.name(tenant))

    def client(self, key: str) -> httpx.Client:
        headers = {"Authorization": f"Bearer {key}"}
        return httpx.Client(
            base_url=self.url, headers=headers, timeout=DEADLINE_S, trust_env=False
        )

    def entries(self) -> list[sa.Row[Any]]:
        """The ledger's lines, in the order in which they were written."""
        columns = schema.entries.c
        query = sa.select(schema.entries).where(self._ours(columns.tenant))
        with self.engine.connect() as connection:
            return list(
                connection.execute(query.order_by(columns.created_at, columns.number)).all()
            )

    def verify(self) -> tuple[int, list[Finding]]:
        """How many entries were checked, and what is wrong with them."""
        if not self.prefix:
            return verify(self.engine)
        names = sa.select(schema.tenants.c.name).where(self._ours(schema.tenants.c.name))
        with self.engine.connect() as connection:
            checked = [verify(self.engine, name) for name in connection.scalars(names)]
        return sum(count for count, _ in checked), [
            finding for _, findings in checked for finding in findings
        ]

    def metrics(self) -> str:
        return self.admin("/metrics").text

    def admin(self, path: str) -> httpx.Response:
        """What its private address answers."""
        return httpx.get(f"{self.admin_url}{path}", trust_env=False, timeout=DEADLINE_S)

    def tasks(self) -> int:
        """Tasks of the gateway's loop that have not ended, but for this question's own."""

        async def count() -> int:
            return len(asyncio.all_tasks()) - 1

        return self.on_loop(count())

    def connections(self) -> int:
        """Connections that it has and has not heard the end of."""

        async def count() -> int:
            return len(self.server.server_state.connections)

        return self.on_loop(count())

    def poll(self) -> None:
        """Let it poll its model servers now."""
        self.on_loop(self.model.poll())

    def on_loop(self, work: Coroutine[Any, Any, T]) -> T:
        """What comes of it on the gateway's loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(DEADLINE_S)

    def states(self) -> dict[str, int]:
        """How many requests the ledger has in each state."""
        columns = schema.requests.c
        query = sa.select(columns.state, sa.func.count()).where(self._ours(columns.tenant))
        with self.engine.connect() as connection:
            rows = connection.execute(query.group_by(columns.state))
            return {row[0]: row[1] for row in rows}

    def reserved_micro(self) -> int:
        columns = schema.accounts.c
        total = sa.select(sa.func.sum(columns.reserved_micro)).where(self._ours(columns.tenant))
        with self.engine.connect() as connection:
            return int(connection.execute(total).scalar() or 0)

    def wait_until_settled(self, requests: int) -> None:
        """Return when so many requests are settled and none is reserved."""
        self.wait_for_states({"settled": requests} if requests else {})

    def wait_for_states(self, states: dict[str, int]) -> None:
        wait_until(lambda: self.states() == states, f"{states} in the ledger")

    def _ours(self, tenant: sa.Column[str]) -> sa.ColumnElement[bool]:
        return tenant.startswith(self.prefix, autoescape=True)


@contextlib.contextmanager
def gateway_on(
    engine: sa.Engine,
    folder: Path,
    models: Path,
    model_urls: Sequence[str],
    clock: Clock = mid_month,
    rates_url: str = MEMORY,
    max_under_way: int = 256,
    cache: CacheSettings | None = None,
    prices: str = PRICES,
    name: str = "gateway-0",
    poll_every_s: float = POLL_EVERY_S,
    settle_for_s: float = SETTLE_FOR_S,
    reads_per_minute: int = READS_PER_MINUTE,
    cors_origins: Sequence[str] = (),
    wait_s: float = 0.0,
    admin_tokens: str | None = None,
    label: str | None = None,
) -> Iterator[RunningGateway]:
    """A gateway on a port of its own.

    Args:
      engine: its tables up to date; it stays open.
      folder: for the price book.
      models: folder of the model's versions, which the servers serve.
      clock: of the ledger and the prices.
      label: of the version that serves; None for the newest.
      admin_tokens: content of the file of the admin API's tokens; None: it is off.
      poll_every_s, wait_s, settle_for_s: see `ServedModel` and `open_gateway`.
    """
    (folder / "prices.toml").write_text(prices)
    model = ServedModel(
        "summarizer", model_urls, models, label, poll_every_s=poll_every_s, wait_s=wait_s
    )
    metrics = Metrics()
    answers = cache.open(metrics) if cache else None
    windows = MemoryWindows(RATE_TIME) if rates_url == MEMORY else open_windows(rates_url)
    lease = Lease(engine, name)  # it is renewed where it is needed, and nobody takes it over
    lease.renew()
    tenants = Tenants(engine)
    book = PriceBookFile(folder / "prices.toml")
    tokens = None
    if admin_tokens is not None:
        (folder / "admin-tokens").write_text(admin_tokens)
        tokens = AdminTokens.load(folder / "admin-tokens")
    admin = Admin(engine, book, tokens, tenants.forget)
    gateway = open_gateway(
        engine,
        tenants,
        model,
        Ledger(engine, lease, clock),
        book,
        Rates(windows, reads_per_minute),
        metrics,
        cache=answers,
        clock=clock,
        max_under_way=max_under_way,
        settle_for_s=settle_for_s,
        cors_origins=cors_origins,
    )
    # Open before it starts: no other program can take a port meanwhile.
    listeners = [socket.create_server(("127.0.0.1", 0), backlog=4096) for _ in range(2)]
    port, admin_port = (each.getsockname()[1] for each in listeners)
    server = GatewayServer(
        server_config(create_app(gateway), "127.0.0.1", port),
        server_config(
            create_private_app(
                gateway, [*admin_routes(admin), *console_routes(admin, gateway, clock=clock)]
            ),
            "127.0.0.1",
            admin_port,
        ),
        private_socket=listeners[1],
    )
    loop = asyncio.new_event_loop()
    serving = server.serve(sockets=[listeners[0]])
    thread = threading.Thread(target=loop.run_until_complete, args=(serving,))
    thread.start()
    wait_until(
        lambda: server.private.started or not thread.is_alive(),
        "the gateway's start",
    )
    try:
        url = f"http://127.0.0.1:{port}"
        admin_url = f"http://127.0.0.1:{admin_port}"
        yield RunningGateway(url, port, admin_url, engine, tenants, loop, server, model)
    finally:
        server.should_exit = True
        thread.join()
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()
        for listener in listeners:
            listener.close()


@contextlib.contextmanager
def serving_gateway(
    folder: Path,
    model_url: str,
    models: Path,
    cache: CacheSettings | None = None,
    prices: str = PRICES,
    name: str = "gateway-0",
    poll_every_s: float = POLL_EVERY_S,
    label: str | None = None,
) -> Iterator[RunningGateway]:
    """A gateway for 32 requests at a time, its ledger in a folder that several may share."""
    engine = open_database(sqlite_ledger(folder))
    with gateway_on(
        engine,
        folder,
        models,
        [model_url],
        max_under_way=32,
        cache=cache,
        prices=prices,
        name=name,
        poll_every_s=poll_every_s,
        label=label,
    ) as running:
        yield running
    engine.dispose()


def hold_refusal(status: int, content: bytes) -> None:
    """A refusal is the client's fault, and says so in OpenAI's shape."""
    assert 400 <= status < 500, (status, content)
    Failure.model_validate(orjson.loads(content))
