"""A gateway as a process of its own, its log in a file."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Self

import httpx
import sqlalchemy as sa

from serving.engines.base import free_ports
from serving.gateway.tenants import Tenants
from serving.ledger.database import open_database
from serving.ledger.upgrade import upgrade
from tests.serving.gateway.running_gateway import PRICES

READY_S = 60


class LoggedGateway:
    """``tallygraph gateway``; ended, and its log whole, when the context is left."""

    def __init__(self, folder: Path, models: Path, model_url: str, *options: str) -> None:
        database = f"sqlite:///{folder}/ledger.sqlite"
        self.engine: sa.Engine = open_database(database)
        upgrade(self.engine)
        self.tenants = Tenants(self.engine)
        prices = folder / "prices.toml"
        prices.write_text(PRICES)
        (port,) = free_ports(1)
        self.url = f"http://127.0.0.1:{port}"
        self.log = folder / "gateway.log"
        self._command = [
            *(sys.executable, "-c", "from pipelines.cli import main; main()", "gateway"),
            *("--prices", str(prices), "--port", str(port), "--database", database),
            *("--model-dir", str(models), "--model-url", model_url, *options),
        ]

    def __enter__(self) -> Self:
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                self._command, stdout=subprocess.DEVNULL, stderr=log
            )
        deadline = time.monotonic() + READY_S
        while True:
            try:
                httpx.get(f"{self.url}/healthz", trust_env=False).raise_for_status()
                return self
            except httpx.HTTPError:
                assert self._process.poll() is None, self.log.read_text()
                assert time.monotonic() < deadline
                time.sleep(0.05)

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(60)
        self.engine.dispose()

    def client(self, key: str) -> httpx.Client:
        headers = {"Authorization": f"Bearer {key}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=30, trust_env=False)

    def lines(self) -> list[dict[str, Any]]:
        """The log's lines, each a JSON object."""
        return [json.loads(line) for line in self.log.read_text("utf-8").splitlines()]
