"""JSON parsing with the rules and messages of TensorFlow Serving's parser (RapidJSON).

A request is parsed by orjson. Only a body that orjson rejects is read again here, because
TensorFlow Serving accepts a little more than the standard does (``NaN``, ``Infinity``,
bytes that are not UTF-8, anything after the end of the document), and because clients log and
compare its messages for what it rejects.
"""

from __future__ import annotations

import re
from typing import Any

import orjson

from serving.model_server.errors import ServingError, invalid_argument
from serving.model_server.json_text import quoted

# The second parser is slow; a larger body gets orjson's own message.
MAX_SECOND_LOOK_BYTES = 4 * 1024 * 1024
MAX_DEPTH = 256

_SPACE = re.compile(rb"[ \n\r\t]*")
_PLAIN = re.compile(rb'[^"\\\x00-\x1f]*')
_NUMBER = re.compile(rb"-?(?:0|[1-9][0-9]*)")
_DIGITS = re.compile(rb"[0-9]+")
_HEX4 = re.compile(rb"[0-9A-Fa-f]{4}")
_ESCAPES = {
    ord('"'): b'"',
    ord("\\"): b"\\",
    ord("/"): b"/",
    ord("b"): b"\b",
    ord("f"): b"\f",
    ord("n"): b"\n",
    ord("r"): b"\r",
    ord("t"): b"\t",
}


def parse_object(body: bytes) -> dict[str, Any]:
    """Parse a request's body.

    Strings that are not UTF-8 come back with surrogate escapes, so that
    ``text.encode("utf-8", "surrogateescape")`` gives the client's bytes.

    Raises:
      ServingError: with TensorFlow Serving's message.
    """
    if not body:
        raise invalid_argument("JSON Parse error: The document is empty")
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        if len(body) > MAX_SECOND_LOOK_BYTES:
            raise invalid_argument(
                f"JSON Parse error: {error.msg} at offset: {error.pos}"
            ) from None
        value = _Parser(body).document()
    if not isinstance(value, dict):
        raise invalid_argument(f"JSON Value: {quoted(value)} Is not object")
    return value


def _error(message: str, offset: int) -> ServingError:
    return invalid_argument(f"JSON Parse error: {message} at offset: {offset}")


class _Parser:
    def __init__(self, body: bytes) -> None:
        self._body = body
        self._at = 3 if body.startswith(b"\xef\xbb\xbf") else 0

    def document(self) -> Any:
        self._skip_space()
        if self._peek() in b"]},:" or self._ended():
            raise _error("The document is empty.", self._at)
        return self._value(0)

    def _peek(self) -> bytes:
        return self._body[self._at : self._at + 1]

    def _ended(self) -> bool:
        # RapidJSON takes a NUL byte for the end.
        return self._peek() in (b"", b"\0")

    def _skip_space(self) -> None:
        match = _SPACE.match(self._body, self._at)
        assert match is not None  # the pattern matches the empty string
        self._at = match.end()

    def _value(self, depth: int) -> Any:
        if depth > MAX_DEPTH:
            raise _error(f"Nested deeper than {MAX_DEPTH} levels.", self._at)
        first = self._peek()
        if first == b"{":
            return self._object(depth)
        if first == b"[":
            return self._array(depth)
        if first == b'"':
            return self._string()
        for word, value in ((b"true", True), (b"false", False), (b"null", None)):
            if first == word[:1]:
                self._word(word)
                return value
        return self._number()

    def _word(self, word: bytes) -> None:
        for letter in word:
            if self._peek() != bytes([letter]):
                raise _error("Invalid value.", self._at)
            self._at += 1

    def _object(self, depth: int) -> dict[str, Any]:
        result: dict[str, Any] = {}
        self._at += 1
        self._skip_space()
        if self._peek() == b"}":
            self._at += 1
            return result
        while True:
            if self._peek() != b'"':
                raise _error("Missing a name for object member.", self._at)
            name = self._string()
            self._skip_space()
            if self._peek() != b":":
                raise _error("Missing a colon after a name of object member.", self._at)
            self._at += 1
            self._skip_space()
            value = self._value(depth + 1)
            result.setdefault(name, value)  # RapidJSON finds the first of a name
            self._skip_space()
            if self._peek() == b"}":
                self._at += 1
                return result
            if self._peek() != b",":
                raise _error("Missing a comma or } after an object member.", self._at)
            self._at += 1
            self._skip_space()

    def _array(self, depth: int) -> list[Any]:
        result: list[Any] = []
        self._at += 1
        self._skip_space()
        if self._peek() == b"]":
            self._at += 1
            return result
        while True:
            result.append(self._value(depth + 1))
            self._skip_space()
            if self._peek() == b"]":
                self._at += 1
                return result
            if self._peek() != b",":
                raise _error("Missing a comma or ] after an array element.", self._at)
            self._at += 1
            self._skip_space()

    def _string(self) -> str:
        self._at += 1
        parts: list[bytes] = []
        while True:
            match = _PLAIN.match(self._body, self._at)
            assert match is not None  # the pattern matches the empty string
            parts.append(match.group())
            self._at = match.end()
            if self._ended():
                raise _error("Missing a closing quotation mark in string.", self._at)
            if self._peek() == b'"':
                self._at += 1
                return b"".join(parts).decode("utf-8", "surrogateescape")
            if self._peek() != b"\\":
                raise _error("Invalid encoding in string.", self._at)
            parts.append(self._escape())

    def _escape(self) -> bytes:
        start = self._at
        letter = self._body[start + 1 : start + 2]
        self._at += 2
        if letter and letter[0] in _ESCAPES:
            return _ESCAPES[letter[0]]
        if letter != b"u":
            raise _error("Invalid escape character in string.", start)
        point = self._hex4(start)
        if not 0xD800 <= point <= 0xDFFF:
            return chr(point).encode()
        if point <= 0xDBFF and self._body.startswith(b"\\u", self._at):
            self._at += 2
            low = self._hex4(start)
            if 0xDC00 <= low <= 0xDFFF:
                return chr(0x10000 + ((point - 0xD800) << 10) + low - 0xDC00).encode()
        raise _error("The surrogate pair in string is invalid.", start)

    def _hex4(self, escape_at: int) -> int:
        match = _HEX4.match(self._body, self._at)
        if match is None:
            raise _error("Incorrect hex digit after \\u escape in string.", escape_at)
        self._at = match.end()
        return int(match.group(), 16)

    def _number(self) -> int | float:
        start = self._at
        match = _NUMBER.match(self._body, start)
        if match is None:
            return self._not_finite()
        self._at = match.end()
        is_float = self._fraction() | self._exponent()
        text = self._body[start : self._at]
        if not is_float and len(text) <= 20:
            integer = int(text)
            if -(2**63) <= integer < 2**64:
                return integer
        value = float(text)
        if value in (float("inf"), float("-inf")):
            raise _error("Number too big to be stored in double.", start)
        return value

    def _fraction(self) -> bool:
        if self._peek() != b".":
            return False
        self._at += 1
        self._digits("Miss fraction part in number.")
        return True

    def _exponent(self) -> bool:
        if self._peek() not in (b"e", b"E"):
            return False
        self._at += 1
        if self._peek() in (b"+", b"-"):
            self._at += 1
        self._digits("Miss exponent in number.")
        return True

    def _digits(self, missing: str) -> None:
        match = _DIGITS.match(self._body, self._at)
        if match is None:
            raise _error(missing, self._at)
        self._at = match.end()

    def _not_finite(self) -> float:
        sign = 1.0
        if self._peek() == b"-":
            sign = -1.0
            self._at += 1
        if self._peek() == b"N":
            self._word(b"NaN")
            return float("nan")
        if self._peek() == b"I":
            self._word(b"Inf")
            if self._peek() == b"i":
                self._word(b"inity")
            return sign * float("inf")
        raise _error("Invalid value.", self._at)
