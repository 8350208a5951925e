"""Several model servers behind one name: each gets its share, and new ones are found."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from serving.engines import ServerSpec
from serving.engines.base import free_ports
from serving.protocol import grpc_api
from serving.protocol.errors import UnreachableError
from serving.protocol.exchange import Target
from serving.protocol.grpc_aio import AioGrpcConnection
from serving.rollout import ModelServers, ServerError
from tests.serving.gateway.name_server import HOST, name_server
from tests.serving.gateway.replicated import TEXT, soon, until
from tests.support.running_gateway import DEADLINE_S
from tests.support.waiting import wait_until
from tests.support.warm_model_server import WarmEngine

HOSTS = ("127.0.0.2", "127.0.0.3", "127.0.0.4")
REQUESTS = 30
PREDICT = grpc_api.predict(Target("summarizer", 7), "summarize", TEXT)
COUNT = ":tensorflow:serving:request_count"


class Servers:
    """Three servers of a model, on the same ports of three addresses."""

    def __init__(self, models: Path, folder: Path) -> None:
        self.grpc_port, self.rest_port = free_ports(2)
        monitoring = folder / "monitoring.config"
        monitoring.write_text('prometheus_config { enable: true path: "/m" }')
        self._flags = {"monitoring_config_file": str(monitoring)}
        self._models = models

    def start(self, host: str, running: ExitStack) -> None:
        flags = {**self._flags, "bind_address": host}
        ports = (self.grpc_port, self.rest_port)
        spec = ServerSpec.single("summarizer", self._models, flags, *ports)
        server = running.enter_context(WarmEngine().start(spec))
        wait_until(lambda: self._is_up(host), f"a server on {host}", server.exit_status)

    def answered(self) -> list[int]:
        """Requests that each of them has answered."""
        return [int(self._count(host)) for host in HOSTS]

    def _is_up(self, host: str) -> bool:
        try:
            return self._get(host, "/v1/models/summarizer/versions/7/metadata").is_success
        except httpx.TransportError:
            return False

    def _count(self, host: str) -> float:
        lines = self._get(host, "/m").text.splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith(COUNT + "{"))

    def _get(self, host: str, path: str) -> httpx.Response:
        url = f"http://{host}:{self.rest_port}{path}"
        return httpx.get(url, timeout=DEADLINE_S, trust_env=False)


@pytest.fixture(scope="module")
def servers(
    metered_models: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Servers]:
    found = Servers(metered_models, tmp_path_factory.mktemp("one-name"))
    with ExitStack() as running:
        for host in HOSTS:
            found.start(host, running)
        yield found


def test_each_gets_its_share_and_a_new_one_is_found(servers: Servers) -> None:
    with name_server(*HOSTS[:2]) as names:
        target = names.target(servers.grpc_port)
        server = AioGrpcConnection(target, look_up_every_s=0.1)

        async def ask() -> list[int]:
            before = servers.answered()
            for _ in range(REQUESTS):
                await server.ask(PREDICT, soon())
            return [now - then for then, now in zip(before, servers.answered(), strict=True)]

        async def run() -> None:
            # Connections to both are there as soon as both have answered.
            async def both() -> bool:
                first, second, _ = await ask()
                return first > 0 and second > 0

            await until(both)
            first, second, third = await ask()
            # Not always halves: with each look-up the turns begin anew.
            assert min(first, second) >= REQUESTS // 3 and third == 0

            # A server was started: nothing has broken, and the name is looked up all the same.
            names.addresses.append(HOSTS[2])

            async def found() -> bool:
                await server.ask(server.api.status(Target("summarizer")), soon())
                return min(await ask()) > 0

            await until(found)
            # One was stopped: it gets no more.
            del names.addresses[0]

            async def left() -> bool:
                await server.ask(server.api.status(Target("summarizer")), soon())
                return (await ask())[0] == 0

            await until(left)
            await server.close()

        asyncio.run(run())
        assert names.lookups > 2


def test_a_name_without_an_address_was_asked_nothing(servers: Servers) -> None:
    with name_server() as names:
        server = AioGrpcConnection(names.target(servers.grpc_port))

        async def run() -> None:
            with pytest.raises(UnreachableError) as error:
                await server.ask(PREDICT, soon())
            assert not error.value.was_sent
            names.addresses[:] = HOSTS[:1]

            async def found() -> bool:
                try:
                    await server.ask(PREDICT, soon())
                except UnreachableError:
                    return False
                return True

            await until(found)
            # And where nobody listens, nothing was sent either.
            names.addresses[:] = ["127.0.0.9"]
            nobody = AioGrpcConnection(names.target(servers.grpc_port))
            with pytest.raises(UnreachableError) as error:
                await nobody.ask(PREDICT, soon())
            assert not error.value.was_sent
            await nobody.close()
            await server.close()

        asyncio.run(run())


def test_versions_are_those_of_every_server(servers: Servers) -> None:
    hosts = list(HOSTS[:2])
    address = f"{HOST}:{servers.grpc_port}"
    with ModelServers([address], look_up=lambda host: hosts) as found:
        states = found.states("summarizer")
        assert states == {f"{h}:{servers.grpc_port}": {7: "AVAILABLE"} for h in hosts}
        found.wait_until_available("summarizer", [7], DEADLINE_S)
        hosts.append(HOSTS[2])
        assert set(found.states("summarizer")) == {f"{h}:{servers.grpc_port}" for h in HOSTS}


def test_a_name_that_there_is_not_is_named() -> None:
    with (
        ModelServers(["no-such-host.invalid:8500"]) as found,
        pytest.raises(ServerError, match=r"The address of no-such-host\.invalid:8500 cannot"),
    ):
        found.states("summarizer")
