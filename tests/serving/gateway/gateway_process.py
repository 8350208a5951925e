"""A gateway as a process of its own, started by its command; and clients that load it."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import sqlalchemy as sa

from serving.engines.base import free_ports
from serving.gateway.tenants import Tenants
from serving.ledger import schema
from serving.ledger.database import open_database
from serving.ledger.upgrade import upgrade
from tests.serving.gateway.running_gateway import PRICES

DEADLINE_S = 60


@dataclass(frozen=True)
class GatewayProcess:
    """A gateway that answers at ``url``, what it logs, and its ledger."""

    url: str
    engine: sa.Engine
    tenants: Tenants
    log_file: Path

    def wait_for_log(self, text: str, times: int = 1) -> None:
        """Return when the gateway has logged a text so many times."""
        deadline = time.monotonic() + DEADLINE_S
        while self.log_file.read_text().count(text) < times:
            assert time.monotonic() < deadline, self.log_file.read_text()
            time.sleep(0.05)

    def ask(self, key: str, text: str) -> httpx.Response:
        return self.post("/v1/summaries", key, text)

    def post(self, path: str, key: str, text: str) -> httpx.Response:
        headers = {"Authorization": f"Bearer {key}"}
        body = {"model": "summarizer", "text": text}
        return httpx.post(
            f"{self.url}{path}", json=body, headers=headers, timeout=30, trust_env=False
        )

    def versions_charged(self) -> dict[tuple[str, str], int]:
        """How many entries the ledger has of each tenant and version."""
        columns = schema.entries.c
        query = sa.select(columns.tenant, columns.model_version, sa.func.count()).group_by(
            columns.tenant, columns.model_version
        )
        with self.engine.connect() as connection:
            return {(row[0], row[1]): row[2] for row in connection.execute(query)}

    def ready(self) -> httpx.Response:
        return httpx.get(f"{self.url}/readyz", timeout=30, trust_env=False)


@contextmanager
def gateway_process(
    folder: Path, models: Path, urls: Sequence[str], *options: str
) -> Iterator[GatewayProcess]:
    """Start ``tallygraph gateway`` on an empty ledger in a folder; it is ready.

    Args:
      urls: of the model servers.
    """
    database = f"sqlite:///{folder}/ledger.sqlite"
    engine = open_database(database)
    upgrade(engine)
    (folder / "prices.toml").write_text(PRICES)
    (port,) = free_ports(1)
    command = [
        *(sys.executable, "-c", "from pipelines.cli import main; main()", "gateway"),
        *("--prices", str(folder / "prices.toml"), "--port", str(port)),
        *("--database", database, "--model-dir", str(models)),
        *(argument for url in urls for argument in ("--model-url", url)),
        *options,
    ]
    log_file = folder / "gateway.log"
    with log_file.open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    running = GatewayProcess(f"http://127.0.0.1:{port}", engine, Tenants(engine), log_file)
    try:
        deadline = time.monotonic() + DEADLINE_S
        while True:
            try:
                running.ready().raise_for_status()
                break
            except httpx.HTTPError:
                assert process.poll() is None, log_file.read_text()
                assert time.monotonic() < deadline, log_file.read_text()
                time.sleep(0.05)
        yield running
        assert process.poll() is None, log_file.read_text()
    finally:
        process.terminate()
        process.wait()
        engine.dispose()


@dataclass(frozen=True)
class Failed:
    """A request without an answer; times are of ``time.monotonic()``."""

    began_at: float
    ended_at: float
    status: int
    code: str


@dataclass
class LoadingClient(threading.Thread):
    """Asks one thing after another, each once, and keeps what it is told."""

    url: str
    key: str
    over: threading.Event
    answered: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    failed: list[Failed] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    # A thread is known by what it is, not by what it holds.
    __hash__ = threading.Thread.__hash__

    def run(self) -> None:
        headers = {"Authorization": f"Bearer {self.key}"}
        with httpx.Client(headers=headers, timeout=60, trust_env=False) as http:
            while not self.over.is_set():
                began_at = time.monotonic()
                text = " ".join(["word"] * (1 + self.answered % 10))
                body = {"model": "summarizer", "text": text}
                answer = http.post(f"{self.url}/v1/summaries", json=body)
                if answer.status_code == 200:
                    usage = answer.json()["usage"]
                    self.answered += 1
                    self.input_tokens += usage["input_tokens"]
                    self.output_tokens += usage["output_tokens"]
                else:
                    code = answer.json()["error"]["code"]
                    self.failed.append(
                        Failed(began_at, time.monotonic(), answer.status_code, code)
                    )
