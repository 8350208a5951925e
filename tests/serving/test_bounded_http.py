"""How responses are written."""

from __future__ import annotations

import asyncio
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


async def written(request: bytes) -> list[bytes]:
    """What a server writes when it gets a request."""
    routes = [Route("/whole", whole), Route("/empty", empty), Route("/pieces", pieces)]
    config = uvicorn.Config(Starlette(routes=routes), log_level="warning")
    config.load()
    server = uvicorn.server.ServerState()
    protocol = bounded_protocol(10, 5.0)(config, server, {})
    transport = Written()
    protocol.connection_made(transport)
    protocol.data_received(request)
    while not protocol._idle:  # type: ignore[attr-defined]
        await asyncio.sleep(0)
    protocol.connection_lost(None)
    return transport.writes


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
    first, *others = asyncio.run(written(request))
    head, _, body = first.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 20")
    assert [body, *others] == bodies


def test_two_requests_at_once_get_two_whole_responses() -> None:
    request = b"GET /whole HTTP/1.1\r\nHost: a\r\n\r\n"
    responses = asyncio.run(written(request * 2))
    assert len(responses) == 2
    assert all(each.startswith(b"HTTP/1.1 200") for each in responses)
    assert all(each.endswith(b"\r\n\r\nabc") for each in responses)
