"""Whom a model's replicas are asked by: what they have, what they have to do, how they are."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from serving.engines import RunningServer, ServerSpec
from serving.engines.base import HeldPorts
from serving.gateway.backend import BackendError, Canary, ServedModel, VersionGoneError
from serving.gateway.errors import GatewayError
from tests.serving.gateway.backend_ports import breaking_port, full_port, silent_port
from tests.support.command_gateway import command_gateway
from tests.support.running_gateway import DEADLINE_S
from tests.support.warm_model_server import WarmEngine

SCHEMES = pytest.mark.parametrize("scheme", ["http", "grpc"])
EVERYBODY = Canary("canary", 100)
TEXT: dict[str, list[Any]] = {"text": ["a b"], "max_output_tokens": [0]}
CONFIG = """
model_config_list {
  config {
    name: "summarizer"
    base_path: "%s"
    model_platform: "tensorflow"
    model_version_policy { specific { %s } }
    %s
  }
}
"""


@dataclass
class Replicated:
    """Two servers of a model's versions 7 and 8: ``old`` has 7 only, ``both`` has both."""

    models: Path
    configs: dict[str, Path]
    servers: dict[str, RunningServer]

    def configure(self, name: str, **labels: int) -> None:
        """Tell a server which versions to have, by their labels; it reads that in a second."""
        versions = " ".join(f"versions: {number}" for number in sorted({*labels.values()}))
        entries = " ".join(
            f'version_labels {{ key: "{label}" value: {number} }}'
            for label, number in labels.items()
        )
        whole = self.configs[name].with_suffix(".new")
        whole.write_text(CONFIG % (self.models, versions, entries))
        whole.rename(self.configs[name])

    def urls(self, scheme: str, *names: str) -> list[str]:
        chosen = [self.servers[name] for name in names]
        if scheme == "http":
            return [server.rest_url for server in chosen]
        return [f"grpc://{server.grpc_address}" for server in chosen]


@pytest.fixture(scope="module")
def servers(
    metered_models: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Replicated]:
    folder = tmp_path_factory.mktemp("replicas")
    models = folder / "models"
    models.mkdir()
    # The same model twice: which version answered is told by the request, not by the answer.
    for number in ("7", "8"):
        (models / number).symlink_to(metered_models / "7")
    replicated = Replicated(models, {n: folder / f"{n}.config" for n in ("old", "both")}, {})
    flags = {
        "allow_version_labels_for_unavailable_models": "true",
        "model_config_file_poll_wait_seconds": "1",
    }
    with ExitStack() as running:
        replicated.configure("old", stable=7)
        replicated.configure("both", stable=7, canary=8)
        for name, config in replicated.configs.items():
            spec = ServerSpec.from_config(("summarizer",), config, flags)
            replicated.servers[name] = running.enter_context(WarmEngine().start(spec))
        for server in replicated.servers.values():
            server.wait_until_available(120)
        yield replicated


def using(model: ServedModel, ask: Callable[[], Awaitable[None]]) -> None:
    """Work with a model in a loop of its own, and close it."""

    async def run() -> None:
        try:
            await ask()
        finally:
            await model.close()

    asyncio.run(run())


def soon() -> float:
    return time.monotonic() + DEADLINE_S


async def until(what: Callable[[], Awaitable[bool]]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not await what():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)


@SCHEMES
def test_versions_and_labels(scheme: str, servers: Replicated) -> None:
    model = ServedModel(
        "summarizer",
        servers.urls(scheme, "old", "both"),
        servers.models,
        "stable",
        EVERYBODY,
        look_every_s=0.2,
    )

    async def number(tenant: str | None) -> int:
        return (await model.version(tenant)).number

    async def ask() -> None:
        assert (await number(None), await number("acme")) == (7, 8)
        canary = await model.version("acme")
        # The first has not the version: it is the second that is asked, each time.
        for _ in range(5):
            (answer,) = await model.summarize(canary, ["a b"], 0, soon())
            assert answer.summary == "A B"
        with pytest.raises(VersionGoneError):
            await model.replicas.predict(9, "summarize", TEXT, soon())
        # One server says 8 and the other 7: the newer, which one of them has.
        servers.configure("both", stable=8, previous=7)
        await until(lambda: _is(number(None), 8))
        # Nobody has the canary's label: its tenants are answered as all are.
        assert await number("acme") == 8
        # The version is gone: it is no more the one that answers.
        servers.configure("both", stable=7)
        await until(lambda: _is(number(None), 7))
        # It is unloaded after the label has moved.
        await until(lambda: _nobody_has(model, 8))
        with pytest.raises(VersionGoneError):
            await model.summarize(canary, ["a b"], 0, soon())
        servers.configure("both", stable=7, canary=8)
        await until(lambda: _is(number("acme"), 8))

    using(model, ask)


async def _is(value: Awaitable[int], expected: int) -> bool:
    return await value == expected


async def _nobody_has(model: ServedModel, version: int) -> bool:
    return not any(replica.has(version) for replica in model.replicas.replicas)


@SCHEMES
def test_a_server_that_has_lost_the_version_says_so(scheme: str, servers: Replicated) -> None:
    """What is known of a server can be old: the next is asked, and in the end nobody."""
    model = ServedModel(
        "summarizer",
        servers.urls(scheme, "both", "old"),
        servers.models,
        "stable",
        EVERYBODY,
        look_every_s=3600,
    )

    async def ask() -> None:
        assert (await model.version("acme")).number == 8
        both, old = model.replicas.replicas
        assert (both.has(8), old.has(8)) == (True, False)
        servers.configure("both", stable=7)
        client = ServedModel("summarizer", servers.urls(scheme, "both"), servers.models)
        try:
            await until(lambda: _is(_fresh(client), 7))
        finally:
            await client.close()
        assert both.has(8)
        with pytest.raises(VersionGoneError):
            await model.replicas.predict(8, "summarize", TEXT, soon())
        assert not both.has(8)
        assert (await model.version("acme", fresh=True)).number == 7
        assert await model.count("acme", ["a b"]) == [(2, 0)]
        servers.configure("both", stable=7, canary=8)

        async def back() -> bool:
            return (await model.version("acme", fresh=True)).number == 8

        await until(back)

    using(model, ask)


async def _fresh(model: ServedModel) -> int:
    return (await model.version(fresh=True)).number


@SCHEMES
def test_the_least_to_do_is_asked_and_of_two_the_first(
    scheme: str, servers: Replicated
) -> None:
    urls = servers.urls(scheme, "old", "both")
    model = ServedModel("summarizer", urls, servers.models, look_every_s=3600)

    async def ask() -> None:
        await model.version()
        first, second = model.replicas.replicas
        assert model.replicas.in_turn(7) == [first, second]
        first.under_way = 1
        assert model.replicas.in_turn(7) == [second, first]
        second.under_way = 1
        assert model.replicas.in_turn(7) == [first, second]
        first.eject("for a test")
        assert model.replicas.in_turn(7) == [second, first]
        assert model.replicas.in_turn(8) == [second, first]
        await first.look()
        assert model.replicas.in_turn(7) == [first, second]

    using(model, ask)


@pytest.fixture(scope="module")
def full(
    metered_models: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningServer]:
    """A server with one place, in which a request waits for a batch that is never full."""
    folder = tmp_path_factory.mktemp("full")
    (folder / "batching.config").write_text(
        "max_batch_size { value: 8 } batch_timeout_micros { value: 600000000 }"
    )
    (folder / "monitoring.config").write_text('prometheus_config { enable: true path: "/m" }')
    flags = {
        "max_queued_requests": "0",
        "rest_api_num_threads": "1",
        "enable_batching": "true",
        "batching_parameters_file": str(folder / "batching.config"),
        "monitoring_config_file": str(folder / "monitoring.config"),
        "enable_model_warmup": "false",  # it would wait for a full batch, too
    }
    spec = ServerSpec.single("summarizer", metered_models, flags)
    with WarmEngine().start(spec) as server:
        server.wait_until_available(120)
        yield server


async def waiting_requests(server: RunningServer) -> int:
    """How many have come to the queue of a batch since the server began."""
    async with httpx.AsyncClient(trust_env=False, timeout=DEADLINE_S) as http:
        page = (await http.get(f"{server.rest_url}/m")).text
    name = ":tensorflow:serving:batching_session:input_batch_size_count{} "
    counts = [line.removeprefix(name) for line in page.splitlines() if line.startswith(name)]
    return int(counts[0]) if counts else 0


@SCHEMES
def test_a_busy_server_s_work_goes_to_the_next(
    scheme: str, servers: Replicated, full: RunningServer
) -> None:
    url = full.rest_url if scheme == "http" else f"grpc://{full.grpc_address}"
    alone = ServedModel("summarizer", [url], servers.models)
    helped = ServedModel("summarizer", [url, *servers.urls(scheme, "old")], servers.models)

    async def ask() -> None:
        version = await alone.version()
        before = await waiting_requests(full)
        holding = asyncio.create_task(alone.summarize(version, ["a b"], 0, soon()))

        async def held() -> bool:
            return await waiting_requests(full) > before

        await until(held)
        with pytest.raises(GatewayError) as refused:
            await alone.summarize(version, ["a b"], 0, soon())
        assert (refused.value.status, refused.value.code) == (503, "overloaded")
        assert refused.value.retry_after_s == 1
        try:
            await helped.version()
            first, second = helped.replicas.replicas
            assert helped.replicas.in_turn(7) == [first, second]
            (answer,) = await helped.summarize(version, ["a b"], 0, soon())
            assert answer.summary == "A B"
        finally:
            await helped.close()
        assert not holding.done()
        holding.cancel()  # its place is free again, sooner or later
        await asyncio.gather(holding, return_exceptions=True)

    using(alone, ask)


@SCHEMES
def test_a_server_that_hangs_is_not_asked(scheme: str, servers: Replicated) -> None:
    with silent_port() as port:
        urls = [f"{scheme}://127.0.0.1:{port}", *servers.urls(scheme, "old")]
        # So long a look at it takes, and no longer.
        model = ServedModel("summarizer", urls, servers.models, timeout_s=2, look_every_s=0.1)
        hangs, well = model.replicas.replicas

        async def is_known() -> bool:
            return hangs.ejected is not None and well.ejected is None

        async def ask() -> None:
            version = await model.version()
            await until(is_known)
            for _ in range(5):
                await model.summarize(version, ["a b"], 0, soon())
            await model.check()
            assert hangs.ejected is not None

        using(model, ask)


@SCHEMES
def test_a_deadline_is_for_all_attempts(
    scheme: str, servers: Replicated, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four servers that take no connection: all of them together would take longer."""
    monkeypatch.setattr("serving.gateway.backend.http_pool.CONNECT_TIMEOUT_S", 0.5)
    with ExitStack() as ports:
        urls = [f"{scheme}://127.0.0.1:{ports.enter_context(full_port())}" for _ in range(4)]
        model = ServedModel("summarizer", urls, servers.models, timeout_s=0.7)

        async def ask() -> None:
            with pytest.raises(GatewayError) as error:
                await model.replicas.predict(7, "summarize", TEXT, model.deadline())
            assert (error.value.status, error.value.code) == (504, "model_timeout")

        using(model, ask)


@SCHEMES
def test_what_may_have_been_computed_is_not_asked_again(
    scheme: str, servers: Replicated
) -> None:
    with breaking_port(scheme) as port:
        urls = [f"{scheme}://127.0.0.1:{port}", *servers.urls(scheme, "old")]
        model = ServedModel("summarizer", urls, servers.models, timeout_s=20)

        async def ask() -> None:
            first, second = model.replicas.replicas
            await second.look()
            # As if it had been well a moment ago: it is asked first.
            first.ejected, first.standing = None, second.standing
            with pytest.raises(GatewayError) as error:
                await model.replicas.predict(7, "summarize", TEXT, model.deadline())
            assert (error.value.status, error.value.code) == (502, "no_answer")
            assert first.ejected is not None
            # The next request goes to the other.
            await model.replicas.predict(7, "summarize", TEXT, model.deadline())

        using(model, ask)


@SCHEMES
def test_one_that_is_gone_is_the_last_to_be_asked(
    scheme: str, servers: Replicated, nobody: HeldPorts
) -> None:
    (port,) = nobody.numbers
    urls = [f"{scheme}://127.0.0.1:{port}", *servers.urls(scheme, "old")]
    model = ServedModel("summarizer", urls, servers.models, look_every_s=3600)

    async def ask() -> None:
        gone, well = model.replicas.replicas
        await model.version()
        gone.ejected, gone.standing = None, well.standing
        assert model.replicas.in_turn(7) == [gone, well]
        # It was not sent, so that the next can be asked.
        await model.replicas.predict(7, "summarize", TEXT, model.deadline())
        assert gone.ejected is not None
        assert model.replicas.in_turn(7) == [well, gone]

    using(model, ask)


def test_settings_that_cannot_be_meant(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match="At least one URL"):
        ServedModel("summarizer", [], tmp_path)
    with pytest.raises(
        BackendError, match="needs a label for the version of all other tenants"
    ):
        ServedModel("summarizer", ["http://127.0.0.1:1"], tmp_path, None, EVERYBODY)


@SCHEMES
def test_the_ledger_has_the_version_of_the_tenants_side(
    scheme: str, servers: Replicated, tmp_path: Path
) -> None:
    share = Canary("canary", 50)
    names = [f"tenant-{number}" for number in range(6)]
    expected = {name: "8" if share.takes("summarizer", name) else "7" for name in names}
    assert {*expected.values()} == {"7", "8"}
    options = ("--label", "stable", "--canary-label", "canary", "--canary-percent", "50")
    urls = servers.urls(scheme, "old", "both")
    body = {"model": "summarizer", "text": "one two three"}
    with command_gateway(
        tmp_path, servers.models, urls, "--model-name", "summarizer", *options
    ) as gateway:
        told = {}
        for name in names:
            with gateway.client(gateway.key(name)) as client:
                for _ in range(2):
                    answer = client.post("/v1/summaries", json=body)
                    assert answer.status_code == 200, answer.text
                    told[name] = answer.json()["model_version"]
                counts = client.post("/v1/count_tokens", json=body)
                assert counts.json()["counts"] == [{"input_tokens": 3, "truncated_tokens": 0}]
        assert told == expected
        assert gateway.versions_charged() == {(name, told[name]): 2 for name in names}
