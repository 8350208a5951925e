"""Reads what a client sends, within bounds, and checks it."""

from __future__ import annotations

import asyncio
import re
import zlib
from typing import Final, TypeVar

import orjson
from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect, Request

from serving.gateway.errors import GatewayError, bad_request
from serving.gateway.http.schemas import MAX_KEY_CHARACTERS, MONTH, NO_TEXT, UNSUPPORTED

MAX_BODY_BYTES: Final = 1024 * 1024
BODY_TIMEOUT_S: Final = 30.0
_ECHOED_CHARACTERS: Final = 100
_JSON: Final = "application/json"
_GZIP: Final = "gzip"
_ENCODINGS: Final = ("identity", "", _GZIP)
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
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in _ENCODINGS:
        raise GatewayError(
            415,
            f"A body may be sent as it is, or with Content-Encoding: gzip. Received: "
            f"{encoding[:_ECHOED_CHARACTERS]!r}",
            code="unsupported_media_type",
            param="Content-Encoding",
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
    if encoding == _GZIP:
        body = _unpacked(body)
    try:
        whole = request.scope["path"].encode() + b"\n" + body
        return whole, schema.model_validate(orjson.loads(body))
    except orjson.JSONDecodeError as error:
        raise bad_request(f"The body is not valid JSON: {error}") from None
    except ValidationError as error:
        errors = error.errors(include_url=False, include_input=False)
        ours = [each for each in errors if each["type"] in (UNSUPPORTED, NO_TEXT)]
        # Where one of several shapes is allowed, the last is the richest: report its fault.
        last = (ours or errors)[-1]
        # Part of a location can be a name that the client has made up; others name a shape.
        names = [str(part) for part in last["loc"]]
        where = ".".join(name for name in names if "[" not in name)[:_ECHOED_CHARACTERS]
        if last["type"] == UNSUPPORTED:
            what = f"{where} {last['msg']}"
            raise bad_request(what, where, "unsupported_parameter") from None
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


def _unpacked(body: bytes) -> bytes:
    """A body in gzip, unpacked; no more of it than a body may have.

    Raises:
      GatewayError: it is not gzip, or too large.
    """
    packed = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    try:
        unpacked = packed.decompress(body, MAX_BODY_BYTES + 1)
    except zlib.error as error:
        raise bad_request(
            f"The body is not valid gzip, as its Content-Encoding says: {error}",
            "Content-Encoding",
        ) from None
    if len(unpacked) > MAX_BODY_BYTES:
        raise GatewayError(
            413, f"The body is larger than {MAX_BODY_BYTES} bytes, unpacked.", code="too_large"
        )
    if not packed.eof or packed.unused_data:
        raise bad_request("The body is not one whole gzip stream.", "Content-Encoding")
    return unpacked


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
