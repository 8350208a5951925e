"""Reads the JSON of a request with the rules of TensorFlow Serving's parser.

TensorFlow Serving accepts more than the standard does: ``NaN``, ``Infinity``, bytes that are
not UTF-8, and anything after the end of the document. Of equal names in an object it uses the
first. The error messages for a malformed document are those of Python's parser.
"""

from __future__ import annotations

import json
import re
from typing import Any

from serving.model_server.errors import ServingError, invalid_argument
from serving.model_server.json_text import quoted

_SPACE = re.compile(r"[ \n\r\t]*")
_SURROGATE = re.compile(rb"\\u[dD]")


def parse_object(body: bytes) -> dict[str, Any]:
    """Parse a request's body.

    Strings that are not UTF-8 are returned with surrogate escapes, so that
    ``text.encode("utf-8", "surrogateescape")`` is what the client sent.

    Raises:
      ServingError: it is not JSON, or not an object.
    """
    errors = "strict"
    body = body.removeprefix(b"\xef\xbb\xbf")
    try:
        text = body.decode()
    except UnicodeDecodeError:
        errors = "surrogateescape"
        text = body.decode("utf-8", errors)
    start = _SPACE.match(text)
    assert start is not None  # the pattern matches the empty string
    if start.end() == len(text):
        raise invalid_argument("JSON Parse error: The document is empty")
    try:
        value, _ = _DECODER.raw_decode(text, start.end())
        if _SURROGATE.search(body):
            json.dumps(value, ensure_ascii=False).encode("utf-8", errors)
    except json.JSONDecodeError as error:
        offset = len(text[: error.pos].encode("utf-8", "surrogateescape"))
        raise _parse_error(f"{error.msg} at offset: {offset}") from None
    except UnicodeEncodeError:
        raise _parse_error("The surrogate pair in string is invalid.") from None
    except RecursionError:
        raise _parse_error("Too many levels of arrays and objects.") from None
    except ValueError as error:
        raise _parse_error(str(error)) from None
    if not isinstance(value, dict):
        raise invalid_argument(f"JSON Value: {quoted(value)} Is not object")
    return value


def _parse_error(message: str) -> ServingError:
    return invalid_argument(f"JSON Parse error: {message}")


def _first_of_each(members: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(members)
    if len(found) != len(members):
        found = dict(reversed(members))
        return {name: found[name] for name, _ in members}
    return found


def _double(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise ValueError("Number too big to be stored in double.")
    return value


_DECODER = json.JSONDecoder(object_pairs_hook=_first_of_each, parse_float=_double)
