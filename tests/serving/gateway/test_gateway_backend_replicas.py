"""Whom a model's replicas are asked by: what they have, what they have to do, how they are."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from serving.engines import RunningServer, ServerSpec, choose_engine
from serving.engines.base import free_ports
from serving.gateway.backend import BackendError, Canary, ServedModel, VersionGoneError
from serving.gateway.errors import GatewayError
from tests.serving.gateway.backend_ports import breaking_port, full_port, silent_port
from tests.serving.gateway.gateway_process import DEADLINE_S, gateway_process

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
            replicated.servers[name] = running.enter_context(choose_engine("local").start(spec))
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
    return time.monotonic() + 30


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
        with pytest.raises(VersionGoneError):
            await model.summarize(canary, ["a b"], 0, soon())
        servers.configure("both", stable=7, canary=8)
        await until(lambda: _is(number("acme"), 8))

    using(model, ask)


async def _is(value: Awaitable[int], expected: int) -> bool:
    return await value == expected


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
    model = ServedModel("summarizer", servers.urls(scheme, "old", "both"), servers.models)

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


@SCHEMES
def test_a_busy_server_s_work_goes_to_the_next(
    scheme: str, servers: Replicated, metered_models: Path
) -> None:
    flags = {"max_queued_requests": "0", "rest_api_num_threads": "1"}
    spec = ServerSpec.single("summarizer", metered_models, flags)
    with choose_engine("local").start(spec) as server:
        server.wait_until_available(120)
        url = server.rest_url if scheme == "http" else f"grpc://{server.grpc_address}"
        texts = [" ".join(["word"] * 200)] * 64

        async def asked(model: ServedModel) -> list[object]:
            version = await model.version()
            return await asyncio.gather(
                *(model.summarize(version, texts, 0, soon()) for _ in range(40)),
                return_exceptions=True,
            )

        alone = ServedModel("summarizer", [url], metered_models)

        async def refused() -> None:
            answers = await asked(alone)
            errors = [answer for answer in answers if isinstance(answer, BaseException)]
            assert 0 < len(errors) < len(answers)
            for error in errors:
                assert isinstance(error, GatewayError), error
                assert (error.status, error.code) == (503, "overloaded")
                assert error.retry_after_s == 1

        using(alone, refused)
        helped = ServedModel("summarizer", [url, *servers.urls(scheme, "old")], metered_models)

        async def answered() -> None:
            assert all(isinstance(answer, list) for answer in await asked(helped))

        using(helped, answered)


@SCHEMES
def test_a_server_that_hangs_is_not_asked(scheme: str, servers: Replicated) -> None:
    with silent_port() as port:
        urls = [f"{scheme}://127.0.0.1:{port}", *servers.urls(scheme, "old")]
        model = ServedModel("summarizer", urls, servers.models, timeout_s=2)

        async def ask() -> None:
            version = await model.version()
            for _ in range(5):
                await model.summarize(version, ["a b"], 0, model.deadline())
            await model.check()
            assert [replica.ejected is None for replica in model.replicas.replicas] == [
                False,
                True,
            ]

        using(model, ask)


@SCHEMES
def test_a_deadline_is_for_all_attempts(scheme: str, servers: Replicated) -> None:
    """Four servers that take no connection: each alone is given up after five seconds."""
    with ExitStack() as ports:
        urls = [f"{scheme}://127.0.0.1:{ports.enter_context(full_port())}" for _ in range(4)]
        model = ServedModel("summarizer", urls, servers.models, timeout_s=7)

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
def test_one_that_is_gone_is_the_last_to_be_asked(scheme: str, servers: Replicated) -> None:
    (port,) = free_ports(1)
    urls = [f"{scheme}://127.0.0.1:{port}", *servers.urls(scheme, "old")]
    model = ServedModel("summarizer", urls, servers.models)

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
    with pytest.raises(BackendError, match="At least one address"):
        ServedModel("summarizer", [], tmp_path)
    with pytest.raises(BackendError, match="needs a label for everybody else's"):
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
    with gateway_process(
        tmp_path, servers.models, urls, "--model-name", "summarizer", *options
    ) as gateway:
        told = {}
        for name in names:
            gateway.tenants.create(name, "standard")
            key = gateway.tenants.make_key(name)
            for _ in range(2):
                answer = gateway.ask(key, "one two three")
                assert answer.status_code == 200, answer.text
                told[name] = answer.json()["model_version"]
            counts = gateway.post("/v1/count_tokens", key, "one two three")
            assert counts.json()["counts"] == [{"input_tokens": 3, "truncated_tokens": 0}]
    assert told == expected
    assert gateway.versions_charged() == {(name, told[name]): 2 for name in names}
