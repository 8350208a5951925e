"""Writes JSON text as RapidJSON does: values quoted in messages, and strings that are not
UTF-8."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import orjson

MAX_QUOTED_BYTES = 256


def quoted(value: Any) -> str:
    """Return a JSON value as TensorFlow Serving's messages quote it, cut off after 256
    bytes."""
    parts: list[str] = []
    size = 0
    for piece in _pretty(value, 0):
        if size >= MAX_QUOTED_BYTES:
            break
        parts.append(piece)
        size += len(piece.encode("utf-8", "surrogateescape"))
    return "".join(parts)


def _pretty(value: Any, level: int) -> Iterator[str]:
    if isinstance(value, dict):
        yield "{"
        for index, (name, member) in enumerate(value.items()):
            yield ("," if index else "") + "\n" + " " * 4 * (level + 1) + _scalar(name)
            yield ": "
            yield from _pretty(member, level + 1)
        yield ("\n" + " " * 4 * level if value else "") + "}"
    elif isinstance(value, list):
        yield "["
        for index, element in enumerate(value):
            if index:
                yield ", "
            yield from _pretty(element, level + 1)
        yield "]"
    else:
        yield _scalar(value)


def _scalar(value: Any) -> str:
    if isinstance(value, str):
        return json_string(value.encode("utf-8", "surrogateescape")).decode(
            "utf-8", "surrogateescape"
        )
    if isinstance(value, float):
        return repr(value).replace("e+", "e")
    return orjson.dumps(value).decode()


_MUST_ESCAPE = re.compile(rb'["\\\x00-\x1f]')
_SHORT = {
    b'"': b'\\"',
    b"\\": b"\\\\",
    b"\b": b"\\b",
    b"\f": b"\\f",
    b"\n": b"\\n",
    b"\r": b"\\r",
    b"\t": b"\\t",
}


def json_string(text: bytes) -> bytes:
    """Return a JSON string of any bytes, as RapidJSON writes them: what is not UTF-8 is
    unchanged."""

    def escape(match: re.Match[bytes]) -> bytes:
        byte = match.group()
        return _SHORT.get(byte) or b"\\u%04X" % byte[0]

    return b'"' + _MUST_ESCAPE.sub(escape, text) + b'"'
