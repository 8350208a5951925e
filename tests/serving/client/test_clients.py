"""Both clients, asked the same of a running server, give the same typed answers."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest

from serving.client import (
    BadAnswerError,
    ClientError,
    GrpcClient,
    ModelClient,
    RefusedError,
    RestClient,
    Signature,
    TokenCount,
    UnreachableError,
    VersionStatus,
)
from serving.engines import RunningServer
from serving.engines.base import HeldPorts
from tokenizer.contract import MeteredSummary

Connect = Callable[..., ModelClient]


@pytest.fixture(params=["rest", "grpc"])
def connect(request: pytest.FixtureRequest, reference_server: RunningServer) -> Connect:
    """Makes a client of the metered model's server."""
    if request.param == "rest":
        return lambda **settings: RestClient(reference_server.rest_url, **settings)
    return lambda **settings: GrpcClient(reference_server.grpc_address, **settings)


def test_summarize(connect: Connect) -> None:
    with connect() as client:
        assert client.summarize(["one two three four five six seven eight nine", "é"]) == [
            MeteredSummary("ONE TWO THREE FOUR", 8, 4, 12, 1, "length"),
            MeteredSummary("É", 1, 1, 2, 0, "stop"),
        ]


def test_a_limit_for_all_and_for_each(connect: Connect) -> None:
    texts = ["one two three", "four five six"]
    with connect() as client:
        assert [answer.summary for answer in client.summarize(texts, 1)] == ["ONE", "FOUR"]
        each = client.summarize(texts, [0, 2])
        assert [answer.output_tokens for answer in each] == [3, 2]


def test_count_tokens(connect: Connect) -> None:
    with connect() as client:
        assert client.count_tokens(["a b", "", "1 2 3 4 5 6 7 8 9 10"]) == [
            TokenCount(2, 0),
            TokenCount(0, 0),
            TokenCount(8, 2),
        ]


@pytest.mark.parametrize(
    "text", [b"caf\xe9 \xff\xfe", b"a\0b\0", "a\0b\0", "\N{FAMILY}\u200d\u202e"]
)
def test_any_bytes_arrive(connect: Connect, text: str | bytes) -> None:
    with connect() as client:
        (answer,) = client.summarize([text])
        (count,) = client.count_tokens([text])
    assert count.input_tokens == answer.input_tokens
    assert answer.summary.encode()


def test_no_texts_need_no_server(nobody: HeldPorts) -> None:
    (port,) = nobody.numbers
    with RestClient(f"http://127.0.0.1:{port}") as client:
        assert client.summarize([]) == []
        assert client.count_tokens([]) == []


def test_model_status(connect: Connect) -> None:
    with connect() as client:
        assert client.model_status() == [VersionStatus(7, "AVAILABLE", "OK", "")]


def test_metadata(connect: Connect) -> None:
    with connect() as client:
        metadata = client.metadata()
    assert (metadata.name, metadata.version) == ("summarizer", 7)
    assert metadata.signatures["count_tokens"] == Signature(
        inputs={"text": "string"},
        outputs={"input_tokens": "int32", "truncated_tokens": "int32"},
    )


def test_one_version_can_be_asked_for(connect: Connect) -> None:
    with connect(version=7) as client:
        assert client.summarize(["a"])[0].summary == "A"
    with connect(version=8) as client, pytest.raises(RefusedError) as refused:
        client.summarize(["a"])
    assert refused.value.code == "NOT_FOUND"
    assert refused.value.message == "Servable not found for request: Specific(summarizer, 8)"


def test_the_servers_message_comes_through(connect: Connect) -> None:
    with connect(model="nope") as client, pytest.raises(RefusedError) as refused:
        client.summarize(["a"])
    assert str(refused.value) == "NOT_FOUND: Servable not found for request: Latest(nope)"
    with connect(label="nope") as client, pytest.raises(RefusedError) as refused:
        client.summarize(["a"])
    assert str(refused.value) == ("INVALID_ARGUMENT: Unrecognized servable version label: nope")


def test_a_model_that_is_not_metered(reference_server: RunningServer) -> None:
    for client in (
        RestClient(reference_server.rest_url, model="fixture"),
        GrpcClient(reference_server.grpc_address, model="fixture"),
    ):
        with client, pytest.raises(BadAnswerError, match="lacks summary, input_tokens"):
            client.summarize(["a"])


def test_nobody_listens(nobody: HeldPorts) -> None:
    (port,) = nobody.numbers
    for client in (
        RestClient(f"http://127.0.0.1:{port}", timeout_s=60),
        GrpcClient(f"127.0.0.1:{port}", timeout_s=60),
    ):
        with (
            client,
            pytest.raises(UnreachableError, match="Check that the model server is running"),
        ):
            client.summarize(["a"])


def test_what_cannot_be_sent() -> None:
    with RestClient("http://127.0.0.1:1") as client:
        with pytest.raises(ClientError, match="Received: a single text"):
            client.summarize("text")
        with pytest.raises(ClientError, match="Text 1 must be str or bytes"):
            client.summarize(["a", 1])  # type: ignore[list-item]
        with pytest.raises(ClientError, match="lone surrogate"):
            client.summarize(["\ud800"])
        with pytest.raises(ClientError, match=r"Expected: 2\. Received: 1"):
            client.summarize(["a", "b"], [1])
        with pytest.raises(ClientError, match="at least 0"):
            client.summarize(["a"], -1)
    with pytest.raises(ClientError, match="a version or a label"):
        RestClient("http://127.0.0.1:1", version=1, label="stable")


def without(*packages: str, code: str) -> str:
    """What code prints in a process that lacks packages."""
    lacking = f"import sys; sys.modules.update(dict.fromkeys({packages}))\n"
    done = subprocess.run(
        [sys.executable, "-c", lacking + code],
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    return done.stdout


def test_the_rest_client_needs_httpx_alone() -> None:
    said = without(
        *("tensorflow", "tensorflow_serving", "numpy", "grpc", "google.protobuf", "aiohttp"),
        code="from serving.client import RestClient, GrpcClient, ClientError\n"
        "RestClient('http://127.0.0.1:1').close()\n"
        "try: GrpcClient('127.0.0.1:1')\n"
        "except ClientError as error: print(error)",
    )
    assert "use RestClient" in said


def test_the_grpc_client_needs_no_tensorflow() -> None:
    said = without(
        *("tensorflow", "tensorflow_serving", "numpy", "httpx", "aiohttp"),
        code="from serving.client import GrpcClient, UnreachableError\n"
        "client = GrpcClient('127.0.0.1:1', retries=0)\n"
        "try: client.count_tokens(['a'])\n"
        "except UnreachableError as error: print(error)",
    )
    assert "127.0.0.1:1 cannot be reached" in said
