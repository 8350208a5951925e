"""Clients that ask one gateway, and what its ledger must say of them afterwards."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

import httpx
import sqlalchemy as sa

from serving.ledger import schema
from serving.ledger.verification import verify
from tests.support.command_gateway import CommandGateway
from tests.support.waiting import wait_until

WAIT_S: Final = 1200
DOCUMENT: Final = " ".join(["word"] * 6)


@dataclass
class Clients:
    """Each sends its next request when the last one has been answered.

    Attributes:
      answers: of requests that have ended: when they were sent, how long they took, and what
        came.
    """

    gateway: CommandGateway
    key: str
    answers: list[tuple[float, float, httpx.Response]] = field(default_factory=list)

    @contextmanager
    def asking(self, clients: int) -> Iterator[None]:
        """So many of them, until the context is left; then each has its last answer."""
        done = threading.Event()
        with ThreadPoolExecutor(clients) as pool:
            running = [pool.submit(self._ask_until, done) for _ in range(clients)]
            try:
                yield
            finally:
                done.set()
            for each in running:
                each.result()

    def ask_once(self) -> None:
        with self.gateway.client(self.key) as client:
            self._ask(client)

    def _ask_until(self, done: threading.Event) -> None:
        with self.gateway.client(self.key) as client:
            while not done.is_set():
                self._ask(client)

    def _ask(self, client: httpx.Client) -> None:
        sent = time.monotonic()
        body = {"model": "summarizer", "text": DOCUMENT}
        answer = client.post("/v1/summaries", json=body, timeout=WAIT_S)
        self.answers.append((sent, time.monotonic() - sent, answer))


def check_charges(gateway: CommandGateway, clients: Clients) -> None:
    """Every request was answered, and the ledger has one entry for each, and no other."""
    answers = [answer for _, _, answer in clients.answers]
    assert {answer.status_code for answer in answers} == {200}
    ids = [answer.json()["id"] for answer in answers]
    assert len(set(ids)) == len(ids)
    engine = gateway.engine
    wait_until(lambda: states(engine) == {"settled": len(ids)}, "all are settled")
    with engine.connect() as connection:
        entries = connection.execute(sa.select(schema.entries)).all()
    assert sorted(entry.request_id for entry in entries) == sorted(ids)
    charged = sum(entry.input_tokens + entry.output_tokens for entry in entries)
    assert charged == sum(answer.json()["usage"]["total_tokens"] for answer in answers)
    assert verify(engine) == (len(ids), [])


def states(engine: sa.Engine) -> dict[str, int]:
    """How many requests the ledger has in each state."""
    state = schema.requests.c.state
    with engine.connect() as connection:
        rows = connection.execute(sa.select(state, sa.func.count()).group_by(state)).all()
    return {row[0]: row[1] for row in rows}
