"""A server whose gRPC threads are all in use: requests wait or go elsewhere, and a log line."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from serving.engines import RunningServer
from serving.gateway.backends import ServedModel
from serving.gateway.errors import GatewayError
from tests.serving.gateway.replicated import TEXT, soon, using
from tests.serving.gateway.thread_limited_server import (
    ThreadLimitedServer,
    thread_limited_server,
)

ADVICE = "--grpc_max_threads"


@pytest.fixture
def limited(model_server: RunningServer) -> Iterator[ThreadLimitedServer]:
    with thread_limited_server(model_server.grpc_address) as running:
        yield running


def served(models: Path, *urls: str) -> ServedModel:
    return ServedModel("summarizer", urls, models, poll_every_s=3600)


def url(server: ThreadLimitedServer) -> str:
    return f"grpc://127.0.0.1:{server.port}"


def test_a_request_waits_for_a_thread(
    limited: ThreadLimitedServer, metered_models: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = served(metered_models, url(limited))

    async def ask() -> None:
        version = await model.version()
        limited.refuse("Predict", 3)
        (answer,) = await model.summarize(version, ["a b"], 0, soon())
        assert answer.summary == "A B"

    with caplog.at_level(logging.WARNING):
        using(model, ask)
    assert limited.refused == {"Predict": 3}
    (line,) = [each.getMessage() for each in caplog.records if ADVICE in each.getMessage()]
    assert url(limited) in line and "Server Threadpool Exhausted" in line


def test_another_replica_is_asked_first(
    limited: ThreadLimitedServer, model_server: RunningServer, metered_models: Path
) -> None:
    model = served(metered_models, url(limited), f"grpc://{model_server.grpc_address}")

    async def ask() -> None:
        version = await model.version()
        first, second = model.replicas.replicas
        limited.refuse("Predict", 1_000_000)
        assert model.replicas.candidates(7) == [first, second]
        (answer,) = await model.summarize(version, ["a b"], 0, soon())
        assert answer.summary == "A B"
        assert first.ejected is None

    using(model, ask)
    assert limited.refused == {"Predict": 1}


def test_nobody_waits_beyond_the_deadline(
    limited: ThreadLimitedServer, metered_models: Path
) -> None:
    model = served(metered_models, url(limited))

    async def ask() -> None:
        await model.version()
        limited.refuse("Predict", 1_000_000)
        with pytest.raises(GatewayError) as error:
            await model.replicas.predict(7, "summarize", TEXT, time.monotonic() + 0.3)
        assert (error.value.status, error.value.code) in (
            (503, "overloaded"),
            (504, "model_timeout"),
        )

    using(model, ask)
    assert limited.refused["Predict"] > 1


def test_a_health_check_that_finds_no_thread_ejects_nobody(
    limited: ThreadLimitedServer, metered_models: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = served(metered_models, url(limited))

    async def ask() -> None:
        await model.version()
        (replica,) = model.replicas.replicas
        limited.refuse("GetModelStatus", 1)
        await replica.poll()
        assert replica.ejected is None and replica.has(7)

    with caplog.at_level(logging.WARNING):
        using(model, ask)
    assert limited.refused == {"GetModelStatus": 1}
    assert ADVICE in caplog.text
