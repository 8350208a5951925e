"""Reads what a client sends, within bounds, and checks it."""

from __future__ import annotations

import asyncio
import re
from typing import Final, TypeVar

import orjson
from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect, Request

from serving.gateway.errors import GatewayError, bad_request
from serving.gateway.http.schemas import MAX_KEY_CHARACTERS, MONTH

MAX_BODY_BYTES: Final = 1024 * 1024
BODY_TIMEOUT_S: Final = 30.0
_ECHOED_CHARACTERS: Final = 100
_JSON: Final = "application/json"
_MONTH: Final = re.compile(MONTH)

Body = TypeVar("Body", bound=BaseModel)


async def read_body(request: Request, schema: type[Body]) -> tuple[bytes, Body]:
    """Read a request: its path and body as they came, and the body parsed.

    Raises:
      GatewayError: it is too large or too slow, not JSON, or something in it is wrong.
    """
    kind_of_body = request.headers.get("content-type", _JSON).partition(";")[0]
    if kind_of_body.strip().lower() != _JSON:
        raise GatewayError(
            415,
            f"The body must be {_JSON}. Received: {kind_of_body[:_ECHOED_CHARACTERS]!r}",
            code="unsupported_media_type",
            param="Content-Type",
        )
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            body = await _whole_body(request)
    except TimeoutError:
        raise GatewayError(
            408, f"The body did not arrive within {BODY_TIMEOUT_S:g} s.", code="body_too_slow"
        ) from None
    except ClientDisconnect:
        # Nobody is there to read it; it keeps the counts of errors free of a fault of ours.
        raise GatewayError(400, "The body is incomplete.", code="hung_up") from None
    try:
        whole = request.scope["path"].encode() + b"\n" + body
        return whole, schema.model_validate(orjson.loads(body))
    except orjson.JSONDecodeError as error:
        raise bad_request(f"The body is not valid JSON: {error}") from None
    except ValidationError as error:
        # Where one of several shapes is allowed, the last is the richest: report its fault.
        last = error.errors(include_url=False, include_input=False)[-1]
        # Part of a location can be a name that the client has made up.
        where = ".".join(str(part) for part in last["loc"])[:_ECHOED_CHARACTERS]
        raise bad_request(f"{where or 'the body'}: {last['msg']}", where or None) from None


async def _whole_body(request: Request) -> bytes:
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > MAX_BODY_BYTES:
            raise GatewayError(
                413, f"The body is larger than {MAX_BODY_BYTES} bytes.", code="too_large"
            )
        chunks.append(chunk)
    return b"".join(chunks)


def idempotency_key(request: Request) -> str | None:
    """The client's name for the request; None where it gives none.

    Raises:
      GatewayError: it is too long, or empty.
    """
    key = request.headers.get("idempotency-key")
    if key is not None and not 0 < len(key) <= MAX_KEY_CHARACTERS:
        raise bad_request(
            f"An idempotency key must have 1 to {MAX_KEY_CHARACTERS} characters. Received: "
            f"{len(key)}",
            "Idempotency-Key",
        )
    return key


def month(request: Request) -> str | None:
    """The month that is asked for, such as ``2026-11``; None for this one.

    Raises:
      GatewayError: it is not a month.
    """
    given = request.query_params.get("month")
    if given is not None and not _MONTH.fullmatch(given):
        raise bad_request(
            f"A month is expected in the form 2026-11. Received: {given[:100]!r}", "month"
        )
    return given
