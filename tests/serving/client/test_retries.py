"""The client asks again where that is safe, and never where a summary may be made twice."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from serving.client import GrpcClient, RefusedError, RestClient, UnreachableError
from serving.engines.base import HeldPorts

_COUNTED = b'{"outputs": {"input_tokens": [3], "truncated_tokens": [0]}}'
_SUMMARY = (
    b'{"outputs": {"summary": ["S"], "input_tokens": [3], "output_tokens": [1], '
    b'"total_tokens": [4], "truncated_tokens": [0], "finish_reason": ["stop"]}}'
)


def answer(status: bytes, body: bytes) -> bytes:
    head = b"HTTP/1.1 %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"
    return head % (status, len(body)) + body


BUSY = answer(b"503 Service Unavailable", b'{"error": "the queue is full"}')
WRONG = answer(b"400 Bad Request", b'{"error": "bad"}')
COUNTED = answer(b"200 OK", _COUNTED)
SUMMARY = answer(b"200 OK", _SUMMARY)
GONE = b""  # the connection is closed without an answer


class Peer:
    """A TCP peer that gives one answer after another, each on a connection of its own."""

    def __init__(self, *answers: bytes) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._answers = answers
        self.requests = 0
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def _work(self) -> None:
        for answer in self._answers:
            try:
                connection, _ = self._listener.accept()
            except OSError:  # closed, because the client has asked less often than it may
                return
            with connection:
                received = b""
                while b"\r\n\r\n" not in received or not received.endswith(b"}"):
                    more = connection.recv(65536)
                    assert more, "the client went away in the middle of its request"
                    received += more
                self.requests += 1
                connection.sendall(answer)

    def close(self) -> None:
        self._listener.close()


@contextmanager
def peer(*answers: bytes) -> Iterator[Peer]:
    peer = Peer(*answers)
    try:
        yield peer
    finally:
        peer.close()


def test_a_busy_server_is_asked_again() -> None:
    with peer(BUSY, BUSY, SUMMARY) as busy, RestClient(busy.url) as client:
        assert client.summarize(["a b c"])[0].summary == "S"
    assert busy.requests == 3


def test_not_for_ever() -> None:
    with peer(BUSY, BUSY, SUMMARY) as busy, RestClient(busy.url, retries=1) as client:
        with pytest.raises(RefusedError) as refused:
            client.summarize(["a b c"])
        assert refused.value.code == "UNAVAILABLE"
    assert busy.requests == 2


def test_what_is_wrong_is_not_asked_again() -> None:
    with (
        peer(WRONG, COUNTED) as wrong,
        RestClient(wrong.url) as client,
        pytest.raises(RefusedError, match="INVALID_ARGUMENT: bad"),
    ):
        client.count_tokens(["a"])
    assert wrong.requests == 1


def test_a_lost_answer_is_asked_for_again_where_it_costs_nothing() -> None:
    with peer(GONE, COUNTED) as lossy, RestClient(lossy.url) as client:
        assert client.count_tokens(["a b c"])[0].input_tokens == 3
    assert lossy.requests == 2


def test_a_summary_is_not_made_twice() -> None:
    with peer(GONE, SUMMARY) as lossy, RestClient(lossy.url) as client:
        with pytest.raises(UnreachableError) as lost:
            client.summarize(["a b c"])
        assert lost.value.was_sent
    assert lossy.requests == 1


def test_what_never_arrived_is_sent_again(
    monkeypatch: pytest.MonkeyPatch, nobody: HeldPorts
) -> None:
    (port,) = nobody.numbers
    for client in (
        RestClient(f"http://127.0.0.1:{port}", timeout_s=60),
        GrpcClient(f"127.0.0.1:{port}", timeout_s=60),
    ):
        attempts = 0
        ask = client._ask

        def counting(*arguments: Any, ask: Callable[..., Any] = ask) -> Any:
            nonlocal attempts
            attempts += 1
            return ask(*arguments)

        monkeypatch.setattr(client, "_ask", counting)
        with client, pytest.raises(UnreachableError) as refused:
            client.summarize(["a"])
        assert not refused.value.was_sent
        assert attempts == 3
