"""A gateway that runs, for tests to ask; see the fixture ``gateway``."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import orjson
import sqlalchemy as sa
import uvicorn

from serving.billing import PriceBook
from serving.engines.base import free_ports
from serving.gateway.app import Gateway, create_app
from serving.gateway.backend import ServedModel
from serving.gateway.charging import ChargedModel
from serving.gateway.http_protocol import gateway_protocol
from serving.gateway.metrics import Metrics
from serving.gateway.rates import MEMORY, Rates
from serving.gateway.responses import Failure
from serving.gateway.running import CacheSettings
from serving.gateway.tenants import Limits, Tenants
from serving.ledger import Ledger, schema
from serving.ledger.clock import Clock, utc_now
from serving.ledger.database import open_database
from serving.ledger.upgrade import upgrade

DEADLINE_S = 60

PRICES = """
currency = "EUR"

[[prices]]
id = "2026"
valid_from = 2026-01-01
model = "summarizer"
plan = "standard"
price_micro_per_1k_input_tokens = 1000
price_micro_per_1k_cached_tokens = 100
price_micro_per_1k_output_tokens = 10000
"""
# The small model reads 8 words and writes 4: so much can a text cost.
MOST_MICRO = 8 + 40


@dataclass(frozen=True)
class RunningGateway:
    """A gateway that answers at ``url``, and what is behind it.

    Attributes:
      loop: that it runs on, in a thread of its own.
    """

    url: str
    port: int
    engine: sa.Engine
    tenants: Tenants
    loop: asyncio.AbstractEventLoop

    def key(self, tenant: str = "acme", **limits: int) -> str:
        self.tenants.create(tenant, "standard", Limits(**limits))
        return self.tenants.make_key(tenant)

    def client(self, key: str) -> httpx.Client:
        headers = {"Authorization": f"Bearer {key}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=60, trust_env=False)

    def entries(self) -> list[sa.Row[Any]]:
        """The ledger's lines, in the order in which they were written."""
        with self.engine.connect() as connection:
            order = schema.entries.c.created_at
            return list(connection.execute(sa.select(schema.entries).order_by(order)).all())

    def metrics(self) -> str:
        return httpx.get(f"{self.url}/metrics", trust_env=False).text

    def tasks(self) -> int:
        """Tasks of the gateway's loop that have not ended, but for this question's own."""

        async def count() -> int:
            return len(asyncio.all_tasks()) - 1

        return asyncio.run_coroutine_threadsafe(count(), self.loop).result(DEADLINE_S)

    def states(self) -> dict[str, int]:
        """How many requests the ledger has in each state."""
        state = schema.requests.c.state
        with self.engine.connect() as connection:
            rows = connection.execute(sa.select(state, sa.func.count()).group_by(state))
            return {row[0]: row[1] for row in rows}

    def reserved_micro(self) -> int:
        with self.engine.connect() as connection:
            total = sa.func.sum(schema.accounts.c.reserved_micro)
            return int(connection.execute(sa.select(total)).scalar() or 0)

    def wait_until_settled(self, requests: int) -> None:
        """Return when so many requests are settled and none is reserved."""
        self.wait_for_states({"settled": requests} if requests else {})

    def wait_for_states(self, states: dict[str, int]) -> None:
        deadline = time.monotonic() + DEADLINE_S
        while (now := self.states()) != states:
            assert time.monotonic() < deadline, now
            time.sleep(0.01)


@contextlib.contextmanager
def gateway_on(
    engine: sa.Engine,
    folder: Path,
    models: Path,
    model_urls: Sequence[str],
    clock: Clock = utc_now,
    rates_url: str = MEMORY,
    max_under_way: int = 256,
    cache: CacheSettings | None = None,
    prices: str = PRICES,
    name: str = "gateway-0",
) -> Iterator[RunningGateway]:
    """A gateway on a port of its own.

    Args:
      engine: its tables up to date; it stays open.
      folder: for the price book.
      models: folder of the model's versions, which the servers serve.
      clock: of the ledger and the prices.
    """
    (folder / "prices.toml").write_text(prices)
    model = ServedModel("summarizer", model_urls, models)
    metrics = Metrics()
    answers = cache.open(metrics) if cache else None
    charged = ChargedModel(
        model,
        Ledger(engine, name, clock),
        PriceBook.load(folder / "prices.toml"),
        Rates(rates_url),
        metrics,
        clock,
        answers,
    )

    async def close() -> None:
        await model.close()
        if answers is not None:
            await answers.close()

    tenants = Tenants(engine)
    app = create_app(Gateway(engine, tenants, [charged], metrics, max_under_way), close)
    (port,) = free_ports(1)
    config = uvicorn.Config(
        app, port=port, http=gateway_protocol(), ws="none", log_level="warning", backlog=4096
    )
    server = uvicorn.Server(config)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_until_complete, args=(server.serve(),))
    thread.start()
    while not server.started and thread.is_alive():
        time.sleep(0.01)
    try:
        yield RunningGateway(f"http://127.0.0.1:{port}", port, engine, tenants, loop)
    finally:
        server.should_exit = True
        thread.join()
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()


@contextlib.contextmanager
def serving_gateway(
    folder: Path,
    model_url: str,
    models: Path,
    cache: CacheSettings | None = None,
    prices: str = PRICES,
    name: str = "gateway-0",
) -> Iterator[RunningGateway]:
    """A gateway for 32 requests at a time, its ledger in a folder that several may share."""
    engine = open_database(f"sqlite:///{folder}/ledger.sqlite")
    upgrade(engine)
    with gateway_on(
        engine,
        folder,
        models,
        [model_url],
        max_under_way=32,
        cache=cache,
        prices=prices,
        name=name,
    ) as running:
        yield running
    engine.dispose()


def hold_refusal(status: int, content: bytes) -> None:
    """A refusal is the client's fault, and says so in OpenAI's shape."""
    assert 400 <= status < 500, (status, content)
    Failure.model_validate(orjson.loads(content))
