"""Model servers that are killed and started again under load: the others answer.

No request fails but those that were under way on the killed one, and none is charged without
an answer.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import sqlalchemy as sa

from serving.engines import ServerSpec
from serving.ledger import schema
from serving.ledger.verification import verify
from tests.serving.gateway.loading_client import Failed, LoadingClient
from tests.support.command_gateway import CommandGateway, command_gateway
from tests.support.waiting import wait_until
from tests.support.warm_model_server import WarmEngine

CLIENTS = 8
SERVERS = 3


@dataclass(frozen=True)
class Kill:
    """When a server was alive for certain, and when dead, by ``time.monotonic()``."""

    began_at: float
    ended_at: float

    def cost(self, failed: Failed) -> bool:
        """Whether a request was under way then."""
        return failed.began_at <= self.ended_at and failed.ended_at >= self.began_at


class Servers:
    """Real model servers that keep their ports from one life to the next."""

    def __init__(self, models: Path) -> None:
        spec = ServerSpec.single("summarizer", models)
        self.running = [WarmEngine().start(spec) for _ in range(SERVERS)]
        for server in self.running:
            server.wait_until_available(120)

    def urls(self, scheme: str) -> list[str]:
        if scheme == "http":
            return [server.rest_url for server in self.running]
        return [f"grpc://{server.grpc_address}" for server in self.running]

    def kill(self, place: int) -> Kill:
        process = self.running[place].process
        began_at = time.monotonic()
        process.kill()
        process.wait()
        return Kill(began_at, time.monotonic())

    def start(self, *places: int) -> None:
        """Start those of the servers that do not run."""
        for place in places:
            if self.running[place].exit_status() is not None:
                self.running[place].stop()  # gives back the ports that were held for it
                self.running[place] = WarmEngine().start(self.running[place].spec)
        for place in places:
            self.running[place].wait_until_available(120)


@pytest.fixture(scope="module")
def all_servers(metered_models: Path) -> Iterator[Servers]:
    servers = Servers(metered_models)
    yield servers
    for server in servers.running:
        server.stop()


@pytest.fixture
def servers(all_servers: Servers) -> Servers:
    all_servers.start(*range(SERVERS))
    return all_servers


def wait_until_asked(clients: list[LoadingClient]) -> None:
    """Return when every client has had five more answers."""
    wanted = [client.answered + 5 for client in clients]
    wait_until(
        lambda: all(c.answered >= w for c, w in zip(clients, wanted, strict=True)),
        "five answers of each client",
    )


def assert_charged(gateway: CommandGateway, clients: list[LoadingClient]) -> None:
    """The ledger has what the clients were told, and holds nothing back."""
    columns = schema.entries.c
    with gateway.engine.connect() as connection:
        charged = connection.execute(
            sa.select(
                sa.func.count(),
                sa.func.sum(columns.input_tokens),
                sa.func.sum(columns.output_tokens),
            )
        ).one()
        reserved = connection.execute(
            sa.select(sa.func.sum(schema.accounts.c.reserved_micro))
        ).scalar_one()
    assert tuple(charged) == (
        sum(client.answered for client in clients),
        sum(client.input_tokens for client in clients),
        sum(client.output_tokens for client in clients),
    )
    assert reserved == 0
    assert verify(gateway.engine) == (charged[0], [])


@pytest.mark.long  # `test_kills.py` kills model servers, too
@pytest.mark.parametrize("scheme", ["http", "grpc"])
def test_killed_and_started_again(
    scheme: str, servers: Servers, metered_models: Path, tmp_path: Path
) -> None:
    urls, at_once = servers.urls(scheme), ("--model-wait-s", "0")
    with command_gateway(tmp_path, metered_models, urls, *at_once) as gateway:
        key = gateway.key()
        over = threading.Event()
        clients = [LoadingClient(gateway.url, key, over) for _ in range(CLIENTS)]
        for client in clients:
            client.start()
        kills = []
        try:
            wait_until_asked(clients)
            kills.append(servers.kill(0))
            wait_until_asked(clients)
            assert gateway.model_servers().status_code == 200
            servers.start(0)
            gateway.wait_for_log("is healthy again")
            # If the one that came back were not asked, nobody would be there now.
            kills += [servers.kill(1), servers.kill(2)]
            wait_until_asked(clients)
            assert gateway.model_servers().status_code == 200
        finally:
            over.set()
            for client in clients:
                client.join()

        failed = [failure for client in clients for failure in client.failed]
        assert {(failure.status, failure.code) for failure in failed} <= {(502, "no_answer")}
        assert all(any(kill.cost(failure) for kill in kills) for failure in failed)
        assert_charged(gateway, clients)
        answered = sum(client.answered for client in clients)
        print(f"{scheme}: {len(kills)} kills, {answered} answers, {len(failed)} failed")

        servers.kill(0)
        late = LoadingClient(gateway.url, key, threading.Event())
        late.start()
        wait_until(lambda: gateway.model_servers().status_code != 200, "no server")
        found = gateway.model_servers()
        assert (found.status_code, found.headers["retry-after"]) == (503, "1")
        assert gateway.ready().status_code == 200
        wait_until(lambda: late.failed, "a request that nobody answers")
        servers.start(0)
        gateway.process.wait_until()
        late.over.set()
        late.join()
        assert {(f.status, f.code) for f in late.failed} <= {
            (502, "no_answer"),
            (503, "overloaded"),
        }
        assert_charged(gateway, [*clients, late])
