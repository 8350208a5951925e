"""What of HTTP is refused, and how responses are written."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from serving.bounded_http import bounded_protocol


class Written(asyncio.Transport):
    """Keeps what is written, write by write."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        self.closed = False

    def write(self, data: Any) -> None:
        if data:  # asyncio, too, sends nothing for nothing
            self.writes.append(bytes(data))

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def resume_reading(self) -> None: ...

    def pause_reading(self) -> None: ...


async def whole(request: Request) -> Response:
    return Response(b"abc")


async def empty(request: Request) -> Response:
    return Response(status_code=204)


async def pieces(request: Request) -> Response:
    async def parts() -> Any:
        yield b"abc"
        yield b"def"

    return StreamingResponse(parts())


async def echo(request: Request) -> Response:
    """How many bytes came, and a header of a name that a trailer may have."""
    body = await request.body()
    return Response(f"{len(body)} {request.headers.get('x-late')}")


async def early(request: Request) -> Response:
    """It does not wait for the body."""
    return Response(b"no", 413)


ROUTES = [
    Route(f"/{handler.__name__}", handler, methods=["GET", "POST"])
    for handler in (whole, empty, pieces, echo, early)
]


async def talk(*received: bytes) -> Written:
    """What a server does that gets these bytes, piece by piece."""
    config = uvicorn.Config(Starlette(routes=ROUTES), log_config=None)
    config.load()
    protocol = bounded_protocol(10, 5.0)(config, uvicorn.server.ServerState(), {})
    transport = Written()
    protocol.connection_made(transport)
    for piece in received:
        protocol.data_received(piece)
        for _ in range(20):  # turns of the loop: more than a response takes
            await asyncio.sleep(0)
    closed = transport.closed
    protocol.connection_lost(None)
    transport.closed = closed
    return transport


def responses(*received: bytes) -> tuple[list[tuple[int, bytes]], bool]:
    """Statuses and bodies of the answers, and whether the connection is closed after them."""
    transport = asyncio.run(talk(*received))
    found = []
    for each in re.split(rb"(?=HTTP/1\.1 )", b"".join(transport.writes))[1:]:
        found.append((int(each[9:12]), each.partition(b"\r\n\r\n")[2]))
    return found, transport.closed


@pytest.mark.parametrize(
    ("method", "path", "bodies"),
    [
        ("GET", "whole", [b"abc"]),
        ("HEAD", "whole", [b""]),
        ("GET", "empty", [b""]),
        # Chunks: a length in hex, and an empty one at the end.
        ("GET", "pieces", [b"3\r\nabc\r\n", b"3\r\ndef\r\n", b"0\r\n\r\n"]),
    ],
)
def test_a_head_is_written_with_the_beginning_of_its_body(
    method: str, path: str, bodies: list[bytes]
) -> None:
    request = f"{method} /{path} HTTP/1.1\r\nHost: a\r\n\r\n".encode()
    first, *others = asyncio.run(talk(request)).writes
    head, _, body = first.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 20")
    assert [body, *others] == bodies


def test_two_requests_at_once_get_two_whole_responses() -> None:
    request = b"GET /whole HTTP/1.1\r\nHost: a\r\n\r\n"
    writes = asyncio.run(talk(request * 2)).writes
    assert len(writes) == 2
    assert all(each.startswith(b"HTTP/1.1 200") for each in writes)
    assert all(each.endswith(b"\r\n\r\nabc") for each in writes)


GET = b"GET /whole HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST /echo HTTP/1.1\r\nHost: a\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("request_", "why"),
    [
        (POST + b"A: b\r\n c\r\n\r\n", "Unexpected whitespace after header value."),
        (POST + b"A: b\r\n\tc\r\n\r\n", "Unexpected whitespace after header value."),
        (GET.replace(b"\r\nHost", b"\r\n Host"), "Unexpected space after start line."),
        (GET.replace(b"1.1\r\n", b"1.1\n"), "Expected CRLF after version."),
        (GET.replace(b"a\r\n", b"a\n"), "Missing expected CR after header value."),
        (GET.replace(b"\r\n\r\n", b"\r\n\n"), "Invalid header field char."),
        (
            POST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "Transfer-Encoding can't be present with Content-Length.",
        ),
        (
            POST + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
            "Content-Length can't be present with Transfer-Encoding.",
        ),
        (POST + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", "Duplicate"),
        (POST + b"Content-Length: 3, 3\r\n\r\nabc", "Invalid character in Content-Length."),
        (POST + b"Content-Length: +3\r\n\r\nabc", "Invalid character in Content-Length."),
        (POST + b"Content-Length : 3\r\n\r\nabc", "Invalid header field char."),
        (POST + b"Content-Length: 99999999999999999999999\r\n\r\n", "overflow."),
        (POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", "Transfer-Encoding"),
        (
            POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            "It has another Transfer-Encoding than chunked.",
        ),
        (
            POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
            "Transfer-Encoding",
        ),
        (b"GET /whole HTTP/1.1\r\n\r\n", "It has 0 Host headers, where one is needed."),
        (GET[:-2] + b"Host: b\r\n\r\n", "It has 2 Host headers, where one is needed."),
        (GET.replace(b"1.1", b"2.0"), "Its version is HTTP/2.0."),
        (b"GET /whole\r\n\r\n", "Its version is HTTP/0.9."),
        (GET.replace(b"/whole", b"http://a"), "Its target cannot be read."),
        (GET[:-2] + b"A: b\0c\r\n\r\n", "Invalid header value char."),
        (GET.replace(b"GET", b"BREW"), "Invalid method encountered."),
        (b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03", "Invalid method encountered."),
        (
            GET[:-2] + b"A: " + b"b" * 20_000 + b"\r\n\r\n",
            "more than 16384 bytes",
        ),
        (GET[:-2] + b"A: b\r\n" * 9_000 + b"\r\n", "more than 16384 bytes"),
        (CHUNKED + b"1\na\r\n0\r\n\r\n", "Missing expected CR after chunk size."),
        (
            CHUNKED + b"1;a\nb\r\na\r\n0\r\n\r\n",
            "Missing expected CR",
        ),
        (CHUNKED + b"zz\r\na\r\n0\r\n\r\n", "Invalid character in chunk size."),
        (CHUNKED + b"fffffffffffffffff\r\n", "Chunk size overflow."),
        (CHUNKED + b"0\r\nA: b\r\n c\r\n\r\n", "Unexpected whitespace after header value."),
        (CHUNKED + b"0\r\n" + b"A: b\r\n" * 9_000, "more than 16384 bytes"),
    ],
)
@pytest.mark.parametrize("piece", [1 << 20, 1000])
def test_what_has_two_readings_or_no_bound_is_refused(
    request_: bytes, why: str, piece: int, caplog: pytest.LogCaptureFixture
) -> None:
    pieces = (request_[at : at + piece] for at in range(0, len(request_), piece))
    ((status, said),), closed = responses(*pieces)
    assert (status, closed) == (400, True)
    assert said.startswith(b"The request is not valid: ") and why.encode() in said, said
    assert why in caplog.text


def test_a_head_in_pieces_is_bounded_and_what_follows_it_is_not() -> None:
    endless = (b"a" * 1000 for _ in range(100))
    found, closed = responses(GET[:-2] + b"A: ", *endless)
    assert closed and [status for status, _ in found] == [400]
    body = b"b" * 100_000
    head = POST + b"Content-Length: 100000\r\n\r\n"
    assert responses(head[:20], head[20:] + body + GET[:9], GET[9:]) == (
        [(200, b"100000 None"), (200, b"abc")],
        False,
    )


@pytest.mark.parametrize(
    ("others", "statuses"),
    [
        ([b"no HTTP\r\n\r\n"], [200]),
        ([CHUNKED + b"zz"], [200]),
        ([CHUNKED, b"zz"], [200]),
        ([GET, b"no HTTP\r\n\r\n"], [200, 200]),
        ([GET + GET, CHUNKED + b"zz"], [200, 200, 200]),
    ],
)
@pytest.mark.parametrize("at_once", [True, False])
def test_requests_before_one_that_is_refused_are_answered(
    others: list[bytes], statuses: list[int], at_once: bool
) -> None:
    """A refusal in their place would be taken for their response."""
    received = [b"".join([GET, *others])] if at_once else [GET, *others]
    found, closed = responses(*received)
    assert closed
    assert [status for status, _ in found][: len(statuses)] == statuses
    # One that came after their responses were written is told why.
    assert found[len(statuses) :] == [] or not at_once


def test_what_ends_a_connection() -> None:
    answered = [(200, b"abc")], True
    assert responses(GET[:-2] + b"Connection: close\r\n\r\n" + GET) == answered
    assert responses(b"GET /whole HTTP/1.0\r\n\r\n") == answered
    (refused,), closed = responses(b"CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n" + GET)
    assert (refused[0] // 100, closed) == (4, True)


@pytest.mark.parametrize(
    ("framing", "body", "answer"),
    [
        (b"", b"", b"0 None"),
        (b"Content-Length: 0\r\n", b"", b"0 None"),
        (b"Content-Length: 2\r\n", b"ab", b"2 None"),
        (b"Transfer-Encoding: chunked\r\n", b"2\r\nab\r\n0\r\nX-Late: 1\r\n\r\n", b"2 None"),
    ],
)
@pytest.mark.parametrize("at", [0, 9, 100, 130, 1000])
def test_another_protocol_is_declined(
    framing: bytes, body: bytes, answer: bytes, at: int
) -> None:
    """Such a request is as any other, and so are those behind it."""
    upgrade = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n"
    received = (POST + upgrade + framing + b"\r\n" + body) * 2 + GET
    found = [(200, answer), (200, answer), (200, b"abc")]
    assert responses(received[:at], received[at:]) == (found, False)
    found, closed = responses((POST + upgrade + b"\r\n") * 2000)
    assert found[0] == (200, b"0 None") and not closed


def test_a_target_is_taken_whole() -> None:
    for path, status in ((b"/whole?a=b", 200), (b"/whole#c", 404), (b"/whole?a#b", 200)):
        ((found, _),), closed = responses(GET.replace(b"/whole", path))
        assert (found, closed) == (status, False), path


def test_a_trailer_is_no_header() -> None:
    late = CHUNKED + b"2\r\nab\r\n0\r\nX-Late: 1\r\n\r\n"
    assert responses(late) == ([(200, b"2 None")], False)


def test_a_body_that_nobody_reads_is_received_to_its_end() -> None:
    """To close would take its response from a client that still sends."""
    head = POST.replace(b"echo", b"early") + b"Content-Length: 6\r\n\r\n"
    assert responses(head, b"abc", b"def", GET) == ([(413, b"no"), (200, b"abc")], False)
