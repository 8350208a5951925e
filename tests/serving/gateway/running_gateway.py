"""A gateway that runs, for tests to ask; see the fixture ``gateway``."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import sqlalchemy as sa
import uvicorn

from serving.billing import PriceBook
from serving.engines.base import free_ports
from serving.gateway.app import Gateway, create_app
from serving.gateway.backend import ServedModel
from serving.gateway.charging import ChargedModel
from serving.gateway.http_protocol import gateway_protocol
from serving.gateway.metrics import Metrics
from serving.gateway.rates import Rates
from serving.gateway.running import CacheSettings
from serving.gateway.tenants import Limits, Tenants
from serving.ledger import Ledger, schema
from serving.ledger.database import open_database
from serving.ledger.upgrade import upgrade

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


@dataclass
class RunningGateway:
    """A gateway that answers at ``url``, and what is behind it."""

    url: str
    engine: sa.Engine
    tenants: Tenants

    def key(self, tenant: str = "acme", **limits: int) -> str:
        self.tenants.create(tenant, "standard", Limits(**limits))
        return self.tenants.make_key(tenant)

    def client(self, key: str) -> httpx.Client:
        headers = {"Authorization": f"Bearer {key}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=30, trust_env=False)

    def entries(self) -> list[sa.Row]:
        """The ledger's lines, in the order in which they were written."""
        with self.engine.connect() as connection:
            order = schema.entries.c.created_at
            return list(connection.execute(sa.select(schema.entries).order_by(order)).all())

    def metrics(self) -> str:
        return httpx.get(f"{self.url}/metrics", trust_env=False).text


@contextlib.contextmanager
def serving_gateway(
    folder: Path,
    model_url: str,
    models: Path,
    cache: CacheSettings | None = None,
    prices: str = PRICES,
    name: str = "gateway-0",
) -> Iterator[RunningGateway]:
    """A gateway on a port of its own, its ledger in a folder that several may share.

    Args:
      models: folder of the model's versions, which a server at ``model_url`` serves.
    """
    engine = open_database(f"sqlite:///{folder}/ledger.sqlite")
    upgrade(engine)
    (folder / "prices.toml").write_text(prices)
    model = ServedModel("summarizer", [model_url], models)
    metrics = Metrics()
    answers = cache.open(metrics) if cache else None
    charged = ChargedModel(
        model,
        Ledger(engine, name),
        PriceBook.load(folder / "prices.toml"),
        Rates(),
        metrics,
        cache=answers,
    )

    async def close() -> None:
        await model.close()
        if answers is not None:
            await answers.close()

    tenants = Tenants(engine)
    app = create_app(Gateway(engine, tenants, [charged], metrics, 32), close)
    (port,) = free_ports(1)
    config = uvicorn.Config(
        app, port=port, http=gateway_protocol(), ws="none", log_level="warning"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started and thread.is_alive():
        time.sleep(0.01)
    try:
        yield RunningGateway(f"http://127.0.0.1:{port}", engine, tenants)
    finally:
        server.should_exit = True
        thread.join()
        engine.dispose()
