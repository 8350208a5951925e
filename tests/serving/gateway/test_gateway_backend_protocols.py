"""A model server gives the gateway the same answers and errors over REST and over gRPC."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest

from serving.engines import RunningServer
from serving.engines.base import HeldPorts
from serving.gateway.backends import BackendError, ServedModel
from serving.gateway.backends.server import Replica, ServerStatus, connect, server_status
from serving.gateway.errors import GatewayError
from serving.protocol.errors import RefusedError, TooSlowError, UnreachableError
from tests.serving.gateway.backend_ports import breaking_port, silent_port
from tests.support.running_gateway import DEADLINE_S
from tokenizer.contract import MeteredSummary, MeteringRecord

T = TypeVar("T")
SCHEMES = pytest.mark.parametrize("scheme", ["http", "grpc"])


def url_of(server: RunningServer, scheme: str) -> str:
    return server.rest_url if scheme == "http" else f"grpc://{server.grpc_address}"


def with_server(url: str, model: str, ask: Callable[[Replica], Awaitable[T]]) -> T:
    """What is asked of a server, in a loop of its own."""

    async def run() -> T:
        server = Replica(url, model, [], DEADLINE_S)
        try:
            return await ask(server)
        finally:
            await server.close()

    return asyncio.run(run())


def soon() -> float:
    return time.monotonic() + DEADLINE_S


@asynccontextmanager
async def served(urls: list[str], models: Path, **settings: Any) -> AsyncIterator[ServedModel]:
    model = ServedModel("summarizer", urls, models, **settings)
    try:
        yield model
    finally:
        await model.close()


@SCHEMES
def test_summaries_and_counts(
    scheme: str, model_server: RunningServer, metered_models: Path
) -> None:
    async def run() -> None:
        async with served([url_of(model_server, scheme)], metered_models) as model:
            assert await model.problem() is None
            version = await model.version()
            assert (version.number, version.metering.tokenizer_kind) == (7, "words")
            texts = ["one two three four five six seven eight nine", "é", "", "a \U0001f600"]
            assert await model.summarize(version, texts, 0, soon()) == [
                MeteredSummary("ONE TWO THREE FOUR", 8, 4, 12, 1, "length"),
                MeteredSummary("É", 1, 1, 2, 0, "stop"),
                MeteredSummary("", 0, 0, 0, 0, "stop"),
                MeteredSummary("A \U0001f600", 2, 2, 4, 0, "stop"),
            ]
            (limited,) = await model.summarize(version, ["a b c"], 2, soon())
            assert (limited.summary, limited.finish_reason) == ("A B", "length")
            (unlimited,) = await model.summarize(version, ["a b c"], 2**31 - 1, soon())
            assert unlimited.summary == "A B C"
            assert await model.count("acme", ["a b", "1 2 3 4 5 6 7 8 9 10"]) == [
                (2, 0),
                (8, 2),
            ]

    asyncio.run(run())


@SCHEMES
def test_how_a_server_stands(scheme: str, reference_server: RunningServer) -> None:
    url = url_of(reference_server, scheme)
    labels = ["stable", "canary", "nobody"]

    async def status_of(model: str) -> ServerStatus:
        connection = connect(url)
        try:
            return await server_status(connection, model, labels, soon())
        finally:
            await connection.close()

    status = asyncio.run(status_of("fixture"))
    assert status.available == {1, 2}
    assert status.labels == {"stable": 1, "canary": 2}
    # A model that a server has not is no reason to ask it for nothing.
    status = asyncio.run(status_of("nope"))
    assert (status.available, status.labels) == (frozenset(), {})


@SCHEMES
@pytest.mark.parametrize(
    ("model", "version", "signature", "inputs", "code", "message"),
    [
        ("summarizer", 8, "summarize", {}, "NOT_FOUND", "Specific(summarizer, 8)"),
        ("nope", 1, "summarize", {}, "NOT_FOUND", "Specific(nope, 1)"),
        ("fixture", 1, "serving_default", {"x": ["a"]}, "INVALID_ARGUMENT", ""),
        ("fixture", 1, "serving_default", {"text": [1]}, "INVALID_ARGUMENT", ""),
        ("fixture", 1, "serving_default", {"text": ["a" * 2**21]}, "INVALID_ARGUMENT", ""),
    ],
)
def test_what_a_server_refuses(
    scheme: str,
    reference_server: RunningServer,
    model: str,
    version: int,
    signature: str,
    inputs: dict[str, list[Any]],
    code: str,
    message: str,
) -> None:
    inputs = inputs or {"text": ["a"], "max_output_tokens": [0]}
    with pytest.raises(RefusedError) as refused:
        with_server(
            url_of(reference_server, scheme),
            model,
            lambda server: server.predict(version, signature, inputs, soon()),
        )
    assert refused.value.code == code
    assert message in refused.value.message


@SCHEMES
def test_a_model_that_is_not_metered(
    scheme: str, reference_server: RunningServer, metered_models: Path, tmp_path: Path
) -> None:
    """The fixture model has no signature `summarize`: TF Serving's 400 is the client's."""

    async def run() -> GatewayError:
        MeteringRecord.load(metered_models / "7").save(tmp_path / "2")
        model = ServedModel("fixture", [url_of(reference_server, scheme)], tmp_path)
        try:
            with pytest.raises(GatewayError) as error:
                await model.summarize(await model.version(), ["a"], 0, soon())
            return error.value
        finally:
            await model.close()

    error = asyncio.run(run())
    assert error.status == 400
    assert "summarize" in error.message


@SCHEMES
def test_nobody_listens(scheme: str, metered_models: Path, nobody: HeldPorts) -> None:
    (port,) = nobody.numbers
    with pytest.raises(UnreachableError) as unreachable:
        with_server(
            f"{scheme}://127.0.0.1:{port}",
            "summarizer",
            lambda server: server.predict(7, "summarize", {"text": ["a"]}, soon()),
        )
    assert not unreachable.value.was_sent

    async def run() -> None:
        async with served([f"{scheme}://127.0.0.1:{port}"], metered_models) as model:
            with pytest.raises(GatewayError) as error:
                await model.version()
            assert (error.value.status, error.value.retry_after_s) == (503, 1)
            assert f"127.0.0.1:{port}" in (await model.problem() or "")

    asyncio.run(run())


@SCHEMES
def test_a_name_that_is_none(scheme: str) -> None:
    with pytest.raises(UnreachableError) as unreachable:
        with_server(
            f"{scheme}://nowhere.invalid:8500",
            "summarizer",
            lambda server: server.predict(7, "summarize", {"text": ["a"]}, soon()),
        )
    assert not unreachable.value.was_sent


@SCHEMES
def test_a_server_that_says_nothing(scheme: str) -> None:
    with silent_port() as port, pytest.raises(UnreachableError) as error:
        with_server(
            f"{scheme}://127.0.0.1:{port}",
            "summarizer",
            lambda server: server.predict(
                7, "summarize", {"text": ["a"]}, time.monotonic() + 0.5
            ),
        )
    assert isinstance(error.value, TooSlowError) or not error.value.was_sent


@SCHEMES
def test_a_connection_that_breaks_may_have_computed(scheme: str) -> None:
    with breaking_port(scheme) as port, pytest.raises(UnreachableError) as broken:
        with_server(
            f"{scheme}://127.0.0.1:{port}",
            "summarizer",
            lambda server: server.predict(7, "summarize", {"text": ["a"]}, soon()),
        )
    assert broken.value.was_sent


@pytest.mark.parametrize(
    "url",
    [
        "127.0.0.1:8500",
        "grpc://127.0.0.1",
        "grpc://127.0.0.1:8500/path",
        "ftp://127.0.0.1:21",
        "http://",
        "http://user:secret@127.0.0.1:8501",
        "http://127.0.0.1:port",
    ],
)
def test_addresses_that_are_none(url: str) -> None:
    with pytest.raises(BackendError, match="A model server's URL is not valid"):
        connect(url)


def test_it_needs_no_tensorflow() -> None:
    code = (
        "import sys, serving.gateway.running, serving.protocol.grpc_aio\n"
        "wrong = {'tensorflow', 'tensorflow_serving', 'numpy'} & set(sys.modules)\n"
        "assert not wrong, wrong"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
