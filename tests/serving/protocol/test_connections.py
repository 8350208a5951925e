"""One server, asked in four ways: the same results, the same errors."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

from serving.engines import RunningServer
from serving.engines.base import HeldPorts
from serving.protocol.errors import BadAnswerError, RefusedError, TooSlowError, UnreachableError
from serving.protocol.exchange import (
    Api,
    AsyncConnection,
    Connection,
    Exchange,
    Target,
    VersionStatus,
)
from serving.protocol.grpc_aio import AioGrpcConnection
from serving.protocol.grpc_sync import GrpcConnection
from serving.protocol.http_aio import HttpPool
from serving.protocol.http_sync import HttpConnection
from serving.protocol.metered import (
    TokenCount,
    count_inputs,
    summaries,
    summary_inputs,
    token_counts,
)
from serving.protocol.statuses import Kind
from tests.serving.gateway.backend_ports import breaking_port, silent_port
from tests.support.running_gateway import DEADLINE_S
from tokenizer.contract import MeteredSummary

CONNECTIONS: dict[str, Callable[[str], Connection | AsyncConnection]] = {
    "http_sync": lambda address: HttpConnection(f"http://{address}"),
    "http_aio": lambda address: HttpPool(f"http://{address}", 4),
    "grpc_sync": GrpcConnection,
    "grpc_aio": AioGrpcConnection,
}
METERED = Target("summarizer")


class Way:
    """One of the four."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.scheme = name.partition("_")[0]

    def ask(
        self, address: str, make: Callable[[Api], Exchange[Any]], within_s: float = DEADLINE_S
    ) -> Any:
        """What a server answers, by a connection that is made and closed for it."""
        connection = CONNECTIONS[self.name](address)
        exchange = make(connection.api)
        if isinstance(connection, Connection):
            with connection:
                return connection.ask(exchange, within_s)
        return asyncio.run(_ask(connection, exchange, within_s))


async def _ask(connection: AsyncConnection, exchange: Exchange[Any], within_s: float) -> Any:
    try:
        return await connection.ask(exchange, time.monotonic() + within_s)
    finally:
        await connection.close()


@pytest.fixture(params=CONNECTIONS)
def way(request: pytest.FixtureRequest) -> Way:
    return Way(request.param)


@pytest.fixture
def address(way: Way, reference_server: RunningServer) -> str:
    rest = reference_server.rest_url.removeprefix("http://")
    return rest if way.scheme == "http" else reference_server.grpc_address


def test_summaries_and_counts(way: Way, address: str) -> None:
    texts: list[str | bytes] = ["a b c", "é".encode(), ""]
    limited = summary_inputs(texts, [2, 0, 0])
    outputs = way.ask(address, lambda api: api.predict(METERED, *limited))
    assert summaries(outputs) == [
        MeteredSummary("A B", 3, 2, 5, 0, "length"),
        MeteredSummary("É", 1, 1, 2, 0, "stop"),
        MeteredSummary("", 0, 0, 0, 0, "stop"),
    ]
    outputs = way.ask(address, lambda api: api.predict(METERED, *summary_inputs(["a b c"])))
    assert [each.summary for each in summaries(outputs)] == ["A B C"]
    outputs = way.ask(address, lambda api: api.predict(METERED, *count_inputs(texts)))
    assert token_counts(outputs) == [TokenCount(3, 0), TokenCount(1, 0), TokenCount(0, 0)]


def test_status_and_metadata(way: Way, address: str) -> None:
    target = Target("fixture")
    assert way.ask(address, lambda api: api.status(target)) == [
        VersionStatus(2, "AVAILABLE", "OK", ""),
        VersionStatus(1, "AVAILABLE", "OK", ""),
    ]
    metadata = way.ask(address, lambda api: api.metadata(Target("fixture", label="stable")))
    assert (metadata.name, metadata.version) == ("fixture", 1)
    served = metadata.signatures["serving_default"]
    assert served.inputs == {"text": "string"}
    assert served.outputs == {
        "raw_bytes": "string",
        "flag": "bool",
        "n_bytes": "int32",
        "ids": "int64",
        "upper": "string",
        "version_tag": "string",
        "score": "float32",
    }


@pytest.mark.parametrize(
    ("target", "kind", "message"),
    [
        (Target("nope"), Kind.ABSENT, "Servable not found for request: Latest(nope)"),
        (Target("summarizer", 8), Kind.ABSENT, "Servable not found for request: Specific("),
        (Target("summarizer", label="x"), Kind.REQUEST, "Unrecognized servable version label"),
    ],
)
def test_a_refusal(way: Way, address: str, target: Target, kind: Kind, message: str) -> None:
    with pytest.raises(RefusedError) as refused:
        way.ask(address, lambda api: api.predict(target, *count_inputs(["a"])))
    assert refused.value.kind is kind
    assert message in refused.value.message


def test_a_model_that_is_not_metered(way: Way, address: str) -> None:
    with pytest.raises(BadAnswerError, match="lacks summary, input_tokens"):
        way.ask(address, lambda api: api.predict(Target("fixture"), *summary_inputs(["a"])))


def test_nobody_listens(way: Way, nobody: HeldPorts) -> None:
    with pytest.raises(UnreachableError) as unreachable:
        way.ask(f"127.0.0.1:{nobody.numbers[0]}", lambda api: api.status(METERED))
    assert not isinstance(unreachable.value, TooSlowError)
    assert not unreachable.value.was_sent


def test_an_answer_that_does_not_come(way: Way) -> None:
    with silent_port() as port, pytest.raises(UnreachableError) as unreachable:
        way.ask(f"127.0.0.1:{port}", lambda api: api.status(METERED), within_s=0.5)
    # gRPC waits for a connection that is none, and may know that nothing was sent.
    assert isinstance(unreachable.value, TooSlowError) or not unreachable.value.was_sent


def test_a_connection_that_breaks(way: Way) -> None:
    with breaking_port(way.scheme) as port, pytest.raises(UnreachableError) as broken:
        inputs = summary_inputs(["a"], [0])
        way.ask(f"127.0.0.1:{port}", lambda api: api.predict(METERED, *inputs))
    assert not isinstance(broken.value, TooSlowError)
    assert broken.value.was_sent


@pytest.fixture
def proxy_that_is_gone(monkeypatch: pytest.MonkeyPatch, nobody: HeldPorts) -> None:
    """An environment whose proxy is not there, for any host."""
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "grpc_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{nobody.numbers[0]}")
    for name in ("no_proxy", "NO_PROXY", "no_grpc_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("proxy_that_is_gone")
def test_no_proxy_is_between(way: Way, address: str) -> None:
    assert [each.version for each in way.ask(address, lambda api: api.status(METERED))] == [7]
