"""Connections of HTTP/1.1 that are kept open, against peers that do all that HTTP allows."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import pytest

from serving.protocol import http_aio
from serving.protocol.errors import BadAnswerError, UnreachableError
from serving.protocol.http_aio import HttpPool

PLAIN = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Peer:
    """Answers each request on a connection with the next of its answers.

    Attributes:
      connections: how many it has been made.
      came: set when a request has come.
      closed: how many connections it has closed.
      requests: the heads and bodies that came.
    """

    def __init__(self, *answers: bytes, closes: bool = False) -> None:
        """
        Args:
          answers: of each connection, in turn; the last one again and again.
          closes: whether it closes a connection after an answer without having said so.
        """
        self._answers = answers
        self._closes = closes
        self.connections = 0
        self.closed = 0
        self.came = asyncio.Event()
        self.requests: list[tuple[str, bytes]] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            for place in range(1_000_000):
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                fields = dict(line.split(": ", 1) for line in head.lower().splitlines()[1:-1])
                length = int(fields.get("content-length", "0"))
                self.requests.append((head, await reader.readexactly(length)))
                self.came.set()
                answer = self._answers[min(place, len(self._answers) - 1)]
                # In two pieces: no reader may take what comes at once for all that comes.
                for piece in (answer[:9], answer[9:]):
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(0.005)
                if self._closes:
                    break
        except asyncio.IncompleteReadError:
            pass  # the client has closed it
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
            self.closed += 1


def with_pool(
    peer: Peer, ask: Callable[[HttpPool], Awaitable[None]], connections: int = 4
) -> None:
    async def run() -> None:
        server = await asyncio.start_server(peer.serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        pool = HttpPool(f"http://127.0.0.1:{port}/prefix/", connections)
        async with server:
            try:
                await ask(pool)
            finally:
                await pool.close()

    asyncio.run(run())


def test_a_connection_is_used_again() -> None:
    peer = Peer(PLAIN)

    async def ask(pool: HttpPool) -> None:
        for number in range(5):
            body = b"x" * number * 100_000
            assert await pool.request("POST", "/a:predict", body) == (200, b"ok")

    with_pool(peer, ask)
    assert peer.connections == 1
    assert [len(body) for _, body in peer.requests] == [n * 100_000 for n in range(5)]
    assert peer.requests[0][0].startswith("POST /prefix/a:predict HTTP/1.1\r\n")
    assert "host: 127.0.0.1:" in peer.requests[0][0].lower()


def test_no_more_connections_than_allowed() -> None:
    peer = Peer(PLAIN)

    async def ask(pool: HttpPool) -> None:
        answers = await asyncio.gather(*(pool.request("GET", "/") for _ in range(40)))
        assert set(answers) == {(200, b"ok")}

    with_pool(peer, ask, connections=3)
    assert (peer.connections, len(peer.requests)) == (3, 40)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (
            b"HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
            (404, b"abcde"),
        ),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + PLAIN, (200, b"ok")),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", (200, b"")),
    ],
)
def test_answers_of_every_kind(answer: bytes, expected: tuple[int, bytes]) -> None:
    peer = Peer(answer, PLAIN)

    async def ask(pool: HttpPool) -> None:
        assert await pool.request("GET", "/") == expected
        assert await pool.request("GET", "/") == (200, b"ok")

    with_pool(peer, ask)
    assert peer.connections == 1


@pytest.mark.parametrize(
    ("answer", "closes"),
    [
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", False),
        # No length: the answer ends where the connection does.
        (b"HTTP/1.1 200 OK\r\n\r\nok", True),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", True),
        (PLAIN, True),
    ],
)
def test_connections_that_are_closed_are_made_anew(answer: bytes, closes: bool) -> None:
    peer = Peer(answer, closes=closes)

    async def ask(pool: HttpPool) -> None:
        for _ in range(3):
            assert await pool.request("GET", "/") == (200, b"ok")
            while peer.closed < peer.connections:
                await asyncio.sleep(0.001)
            for _ in range(3):  # turns of the loop, in which it hears of that
                await asyncio.sleep(0)

    with_pool(peer, ask)
    assert peer.connections == 3


@pytest.mark.parametrize(
    ("answer", "kind", "message"),
    [
        (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", BadAnswerError, "not valid HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok", UnreachableError, "broke"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: ", UnreachableError, "broke"),
        (b"", UnreachableError, "broke"),
    ],
)
def test_what_is_no_answer(answer: bytes, kind: type[Exception], message: str) -> None:
    async def ask(pool: HttpPool) -> None:
        for _ in range(2):
            with pytest.raises(kind, match=message) as error:
                await pool.request("POST", "/", b"{}")
            # It has been sent: nobody may ask another server for the same.
            assert getattr(error.value, "was_sent", True)

    with_pool(Peer(answer, closes=True), ask)


def test_an_answer_that_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_aio, "MAX_ANSWER_BYTES", 1000)
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n" + b"a" * 1001

    async def ask(pool: HttpPool) -> None:
        with pytest.raises(BadAnswerError, match="larger than 1000 bytes"):
            await pool.request("GET", "/")

    with_pool(Peer(answer), ask)


def test_one_that_gave_up_leaves_its_answer_to_nobody() -> None:
    """The next request must not be given the answer to the one before."""
    peer = Peer(PLAIN)

    async def ask(pool: HttpPool) -> None:
        for _ in range(3):
            peer.came.clear()
            given_up = asyncio.create_task(pool.request("GET", "/given-up"))
            await peer.came.wait()
            given_up.cancel()
            with pytest.raises(asyncio.CancelledError):
                await given_up
            assert await pool.request("GET", "/") == (200, b"ok")

    with_pool(peer, ask, connections=1)
    assert peer.connections > 1


def test_an_idle_connection_grows_old(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_aio, "KEPT_OPEN_S", 0.05)
    peer = Peer(PLAIN)

    async def ask(pool: HttpPool) -> None:
        for _ in range(2):
            await pool.request("GET", "/")
            await asyncio.sleep(0.2)

    with_pool(peer, ask)
    assert peer.connections == 2
