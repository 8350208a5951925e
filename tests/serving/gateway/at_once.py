"""Requests that are all under way at once, each on a connection of its own.

A client library's pool takes longer to hand out a thousand connections than the gateway to
answer by them, and so would queue what must race.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import orjson


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    content: bytes

    def error_code(self) -> str:
        return str(orjson.loads(self.content)["error"]["code"])


def request_bytes(
    key: str,
    body: dict[str, Any],
    idempotency_key: str | None = None,
    path: str = "/v1/summaries",
) -> bytes:
    """A question, whole."""
    content = orjson.dumps(body)
    head = [
        f"POST {path} HTTP/1.1",
        "Host: gateway",
        f"Authorization: Bearer {key}",
        "Content-Type: application/json",
        f"Content-Length: {len(content)}",
        "Connection: close",
    ]
    if idempotency_key is not None:
        head.append(f"Idempotency-Key: {idempotency_key}")
    return "\r\n".join([*head, "", ""]).encode() + content


async def ask(port: int, request: bytes) -> Answer:
    """Ask on a connection of its own, and read its answer to the end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    received = await reader.read()
    writer.close()
    head, _, content = received.partition(b"\r\n\r\n")
    return Answer(int(head.split(b" ", 2)[1]), content)


async def ask_until_served(port: int, request: bytes, most: int = 20) -> Answer:
    """Ask again while the gateway is overloaded, as its Retry-After tells a client to.

    With a busy machine it may take longer to connect to a model server than the gateway allows.
    Nothing is charged for such an answer: whoever counts charges may ask again.
    """
    for _ in range(most):
        answer = await ask(port, request)
        if answer.status != 503:
            return answer
        assert answer.error_code() == "overloaded", answer
        await asyncio.sleep(1)
    return answer
