"""A gateway started by its command, with a ledger of its own and tenants to ask it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import sqlalchemy as sa

from pipelines.gateway_process import READY, SERVING, GatewayProcess
from serving.gateway.tenants import Limits, Tenants
from serving.ledger import schema
from serving.ledger.database import open_database
from tests.support.fresh_ledger import sqlite_ledger
from tests.support.running_gateway import DEADLINE_S, PRICES
from tests.support.tenants import add_key, add_tenant
from tests.support.waiting import wait_until


@dataclass(frozen=True)
class CommandGateway:
    """The process, and what is behind it.

    Attributes:
      database: the ledger's URL.
    """

    process: GatewayProcess
    database: str
    engine: sa.Engine
    tenants: Tenants

    @property
    def url(self) -> str:
        return self.process.url

    def key(self, tenant: str = "acme", **limits: int) -> str:
        add_tenant(self.engine, tenant, Limits(**limits))
        return add_key(self.engine, tenant)

    def client(self, key: str) -> httpx.Client:
        headers = {"Authorization": f"Bearer {key}"}
        return httpx.Client(
            base_url=self.url, headers=headers, timeout=DEADLINE_S, trust_env=False
        )

    def ready(self) -> httpx.Response:
        """Whether it takes requests."""
        return self._admin(READY)

    def model_servers(self) -> httpx.Response:
        """Whether one of them serves."""
        return self._admin(SERVING)

    def _admin(self, path: str) -> httpx.Response:
        return httpx.get(f"{self.process.admin_url}{path}", timeout=DEADLINE_S, trust_env=False)

    def lines(self) -> list[dict[str, Any]]:
        """The log's lines, each a JSON object."""
        text = self.process.log_file.read_text("utf-8")
        return [json.loads(line) for line in text.splitlines()]

    def wait_for_log(self, text: str, times: int = 1) -> None:
        """Return when the gateway has logged a text so many times."""
        log = self.process.log_file
        wait_until(
            lambda: log.read_text("utf-8").count(text) >= times,
            f"{text!r} in {log}",
            self.process.exit_status,
        )

    def versions_charged(self) -> dict[tuple[str, str], int]:
        """How many entries the ledger has of each tenant and version."""
        columns = schema.entries.c
        query = sa.select(columns.tenant, columns.model_version, sa.func.count()).group_by(
            columns.tenant, columns.model_version
        )
        with self.engine.connect() as connection:
            return {(row[0], row[1]): row[2] for row in connection.execute(query)}


@contextmanager
def command_gateway(
    folder: Path,
    models: Path,
    urls: Sequence[str],
    *options: str,
    database: str | None = None,
    prices: str = PRICES,
    until: str | None = SERVING,
    environment: Mapping[str, str] | None = None,
    setup: str = "",
) -> Iterator[CommandGateway]:
    """Start ``tallygraph gateway``; its log is whole when the context is left.

    Args:
      folder: for the price book, the log and the ledger.
      models: folder of the model's versions, which the servers serve.
      urls: of the model servers.
      options: further ones of the command.
      database: the ledger's URL; None for a new one in the folder.
      until: path that must answer 200; None: it is not waited for.
      environment, setup: see `GatewayProcess`.
    """
    database = database or sqlite_ledger(folder)
    engine = open_database(database)
    (folder / "prices.toml").write_text(prices)
    process = GatewayProcess(
        folder / "prices.toml",
        models,
        urls,
        folder / "gateway.log",
        *options,
        database=database,
        environment=environment,
        setup=setup,
    )
    try:
        with process:
            if until is not None:
                process.wait_until(until, DEADLINE_S)
            yield CommandGateway(process, database, engine, Tenants(engine))
    finally:
        engine.dispose()
