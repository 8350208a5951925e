"""Unpacks the body of a REST request that was sent with ``Content-Encoding: gzip``."""

from __future__ import annotations

import zlib

from serving.model_server.errors import ServingError, invalid_argument
from serving.protocol.statuses import Code

_GZIP = 16 + zlib.MAX_WBITS


def gunzip(body: bytes, max_bytes: int) -> bytes:
    """Return the unpacked body; an empty one stays empty.

    Raises:
      ServingError: it is not gzip, is cut off, or unpacks to more than ``max_bytes``.
    """
    parts: list[bytes] = []
    room = max_bytes
    rest = body
    while rest:  # a gzip file may have several members
        unpacker = zlib.decompressobj(_GZIP)
        try:
            part = unpacker.decompress(rest, room + 1)
        except zlib.error as error:
            raise invalid_argument(
                f"The request's body is not gzip, as its Content-Encoding says: {error}"
            ) from None
        room -= len(part)
        if room < 0:
            raise ServingError(
                Code.INVALID_ARGUMENT,
                f"The request's body unpacks to more than {max_bytes} bytes, the limit of "
                "--max_request_bytes. Send fewer instances at a time.",
                http_status=413,
            )
        if not unpacker.eof:
            raise invalid_argument("The request's body is gzip that was cut off.")
        parts.append(part)
        rest = unpacker.unused_data
    return b"".join(parts)
