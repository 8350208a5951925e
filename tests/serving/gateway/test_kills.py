"""A gateway that is killed at any moment: no answer goes unbilled, none is billed twice.

The short form runs with the other tests. The long form, with the figures that are aimed at, is
``make kill-test``: 200 kills, 50,000 requests.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import httpx
import sqlalchemy as sa
from running_gateway import PRICES

from serving.engines import RunningServer
from serving.engines.base import free_ports
from serving.gateway.tenants import Tenants
from serving.ledger import schema
from serving.ledger.database import open_database
from serving.ledger.upgrade import upgrade
from serving.ledger.verification import verify

KILLS = int(os.environ.get("TALLYGRAPH_KILLS", "6"))
REQUESTS = int(os.environ.get("TALLYGRAPH_KILL_REQUESTS", "600"))
SEED = int(os.environ.get("TALLYGRAPH_SEED", "20261125"))
CLIENTS = 8


class KilledGateway:
    """A gateway's process, killed and started again."""

    def __init__(self, database: str, prices: Path, models: Path, model_url: str) -> None:
        (self.port,) = free_ports(1)
        self.url = f"http://127.0.0.1:{self.port}"
        self.ready_after_s: list[float] = []
        self._command = [
            *(sys.executable, "-c", "from pipelines.cli import main; main()", "gateway"),
            *("--prices", str(prices), "--port", str(self.port), "--database", database),
            *("--model-dir", str(models), "--model-url", model_url),
        ]
        self.start()

    def start(self) -> None:
        started = time.monotonic()
        self.process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)
        while True:
            try:
                httpx.get(f"{self.url}/readyz", trust_env=False).raise_for_status()
                break
            except httpx.HTTPError:
                assert self.process.poll() is None, "the gateway ended by itself"
                time.sleep(0.02)
        self.ready_after_s.append(time.monotonic() - started)

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


class Client(threading.Thread):
    """Asks until it is answered, each request by the same key, and adds up what it is told.

    It makes so many requests at least, and goes on until the killing is over.
    """

    def __init__(
        self,
        gateway: KilledGateway,
        key: str,
        number: int,
        requests: int,
        over: threading.Event,
    ) -> None:
        super().__init__()
        self._over = over
        self._gateway = gateway
        self._key = key
        self._number = number
        self._requests = requests
        self.returned = Counter[str]()
        self.answered = 0
        self.failures: list[str] = []

    def run(self) -> None:
        headers = {"Authorization": f"Bearer {self._key}"}
        with httpx.Client(headers=headers, timeout=30, trust_env=False) as http:
            while self.answered < self._requests or not self._over.is_set():
                place = self.answered
                text = " ".join(["word"] * (1 + (place + self._number) % 10))
                body = {"model": "summarizer", "text": text}
                usage = self._ask(http, f"{self._number}-{place}", body)
                self.returned.update(usage)
                self.answered += 1

    def _ask(self, http: httpx.Client, key: str, body: dict[str, str]) -> dict[str, int]:
        while True:
            try:
                answer = http.post(
                    f"{self._gateway.url}/v1/summaries",
                    json=body,
                    headers={"Idempotency-Key": key},
                )
            except httpx.HTTPError:
                time.sleep(0.05)
                continue
            if answer.status_code == 200:
                return dict(answer.json()["usage"])
            if answer.status_code not in (409, 503):
                self.failures.append(answer.text)
            time.sleep(0.05)


def test_no_answer_is_unbilled_and_none_is_billed_twice(
    tmp_path: Path, model_server: RunningServer, metered_models: Path
) -> None:
    dice = random.Random(SEED)
    database = f"sqlite:///{tmp_path}/ledger.sqlite"
    engine = open_database(database)
    upgrade(engine)
    tenants = Tenants(engine)
    for name in ("acme", "other"):
        tenants.create(name, "standard")
    keys = [tenants.make_key(name) for name in ("acme", "other")]
    prices = tmp_path / "prices.toml"
    prices.write_text(PRICES)
    gateway = KilledGateway(database, prices, metered_models, model_server.rest_url)
    over = threading.Event()
    clients = [
        Client(gateway, keys[number % 2], number, REQUESTS // CLIENTS, over)
        for number in range(CLIENTS)
    ]
    for client in clients:
        client.start()
    for _ in range(KILLS):
        # Some while it serves, some while it has hardly begun.
        time.sleep(dice.choice([dice.uniform(0, 0.05), dice.uniform(0, 1.0)]))
        gateway.kill()
        gateway.start()
    over.set()
    for client in clients:
        client.join()
    gateway.kill()

    assert [client.failures for client in clients] == [[]] * CLIENTS
    answered = sum(client.answered for client in clients)
    assert answered >= REQUESTS // CLIENTS * CLIENTS
    returned = Counter[str]()
    for client in clients:
        returned.update(client.returned)
    columns = schema.entries.c
    with engine.connect() as connection:
        row = connection.execute(
            sa.select(
                sa.func.count(),
                sa.func.sum(columns.input_tokens),
                sa.func.sum(columns.output_tokens),
            )
        ).one()
    assert tuple(row) == (
        answered,
        returned["input_tokens"],
        returned["output_tokens"],
    )
    checked, findings = verify(engine)
    assert (checked, [str(finding) for finding in findings]) == (row[0], [])
    engine.dispose()
    gateway.ready_after_s.sort()
    print(f"{KILLS} kills, {row[0]} requests, ready after {gateway.ready_after_s[-1]:.1f} s")
