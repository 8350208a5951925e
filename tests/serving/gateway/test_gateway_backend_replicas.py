"""Which replica is asked: by what they have to do, and by their health."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from serving.engines import RunningServer, ServerSpec
from serving.engines.base import HeldPorts
from serving.gateway.backends import ServedModel
from serving.gateway.errors import GatewayError
from tests.serving.gateway.backend_ports import breaking_port, full_port, silent_port
from tests.serving.gateway.replicated import SCHEMES, TEXT, Replicated, soon, until, using
from tests.support.running_gateway import DEADLINE_S
from tests.support.warm_model_server import WarmEngine


@SCHEMES
def test_the_least_to_do_is_asked_and_of_two_the_first(
    scheme: str, servers: Replicated
) -> None:
    urls = servers.urls(scheme, "old", "both")
    model = ServedModel("summarizer", urls, servers.models, poll_every_s=3600)

    async def ask() -> None:
        await model.version()
        first, second = model.replicas.replicas
        assert model.replicas.candidates(7) == [first, second]
        first.under_way = 1
        assert model.replicas.candidates(7) == [second, first]
        second.under_way = 1
        assert model.replicas.candidates(7) == [first, second]
        first.eject("for a test")
        assert model.replicas.candidates(7) == [second, first]
        assert model.replicas.candidates(8) == [second, first]
        await first.poll()
        assert model.replicas.candidates(7) == [first, second]

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
            assert helped.replicas.candidates(7) == [first, second]
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
        model = ServedModel("summarizer", urls, servers.models, timeout_s=2, poll_every_s=0.1)
        hangs, well = model.replicas.replicas

        async def is_known() -> bool:
            return hangs.ejected is not None and well.ejected is None

        async def ask() -> None:
            version = await model.version()
            await until(is_known)
            for _ in range(5):
                await model.summarize(version, ["a b"], 0, soon())
            assert await model.problem() is None
            assert hangs.ejected is not None

        using(model, ask)


@SCHEMES
def test_a_deadline_is_for_all_attempts(
    scheme: str, servers: Replicated, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four servers that take no connection: all of them together would take longer."""
    monkeypatch.setattr("serving.protocol.http_aio.CONNECT_TIMEOUT_S", 0.5)
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
            await second.poll()
            # As if it had been well a moment ago: it is asked first.
            first.ejected, first.status = None, second.status
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
    model = ServedModel("summarizer", urls, servers.models, poll_every_s=3600)

    async def ask() -> None:
        gone, well = model.replicas.replicas
        await model.version()
        gone.ejected, gone.status = None, well.status
        assert model.replicas.candidates(7) == [gone, well]
        # It was not sent, so that the next can be asked.
        await model.replicas.predict(7, "summarize", TEXT, model.deadline())
        assert gone.ejected is not None
        assert model.replicas.candidates(7) == [well, gone]

    using(model, ask)
