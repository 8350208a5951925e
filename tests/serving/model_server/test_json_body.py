"""JSON that TensorFlow Serving takes and the standard does not, and what neither takes."""

from __future__ import annotations

import gzip
import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.model_server.errors import ServingError
from serving.model_server.gzip_body import gunzip
from serving.model_server.json_body import parse_object
from serving.model_server.json_text import json_string, quoted


def refusal(body: bytes) -> str:
    with pytest.raises(ServingError) as refused:
        parse_object(body)
    assert refused.value.http_status == 400
    return refused.value.message


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "JSON Parse error: The document is empty"),
        (b" \n ", "JSON Parse error: The document is empty"),
        (b"\xef\xbb\xbf", "JSON Parse error: The document is empty"),
        (b"hello", "JSON Parse error: Expecting value at offset: 0"),
        ('{"é": tru}'.encode(), "JSON Parse error: Expecting value at offset: 7"),
        (b'{"\xff": tru}', "JSON Parse error: Expecting value at offset: 6"),
        (b'{"a": "\\x"}', "JSON Parse error: Invalid \\escape at offset: 7"),
        (b'{"a": "\\ud800"}', "JSON Parse error: The surrogate pair in string is invalid."),
        (b'{"a": "\\udcff"}', "JSON Parse error: The surrogate pair in string is invalid."),
        (b'{"a": 1e999}', "JSON Parse error: Number too big to be stored in double."),
        (b"[1, 2]", "JSON Value: [1, 2] Is not object"),
        (b'"text"', 'JSON Value: "text" Is not object'),
    ],
)
def test_what_is_refused(body: bytes, message: str) -> None:
    assert refusal(body) == message


@pytest.mark.parametrize(
    "body",
    [
        b'{"a": }',
        b'{"a": [1,]}',
        b"{a: 1}",
        b'{"a": 1,}',
        b'{"a" 1}',
        b'{"a": 1 2}',
        b'{"a": [1 2]}',
        b'{"a": "x',
        b'{"a": "\\u12G4"}',
        b'{"a": "\n"}',
        b'{"a": 1.}',
        b'{"a": 01}',
        b'{"a": ' + b"9" * 5000 + b"}",
        b'{"a": ' + b"[" * 100_000,
        b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
)
def test_what_is_no_json(body: bytes) -> None:
    assert refusal(body).startswith("JSON Parse error: ")


def test_what_the_standard_does_not_know() -> None:
    assert parse_object(b'{"a": 1} and the rest') == {"a": 1}
    assert parse_object(b'\xef\xbb\xbf {"a": Infinity, "b": -Infinity}') == {
        "a": math.inf,
        "b": -math.inf,
    }
    assert math.isnan(parse_object(b'{"a": NaN}')["a"])
    text = parse_object(b'{"a": "\xff\\u00e9\\ud83d\\ude00"}')["a"]
    assert text.encode("utf-8", "surrogateescape") == b"\xff\xc3\xa9\xf0\x9f\x98\x80"


def test_the_first_of_equal_names_holds() -> None:
    document = parse_object(b'{"a": 1, "b": {"c": 2, "c": 3}, "a": 4}')
    assert document == {"a": 1, "b": {"c": 2}}
    assert list(document) == ["a", "b"]


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.text()
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(st.text(), JSON), st.booleans())
def test_documents_are_read(document: dict[str, Any], plain: bool) -> None:
    text = json.dumps(document, ensure_ascii=plain)
    assert parse_object(text.encode()) == document
    assert parse_object(text.encode() + b" #") == document


@given(st.dictionaries(st.text(), JSON), st.integers(0, 400))
def test_a_cut_document_is_refused_in_words(document: dict[str, Any], cut: int) -> None:
    body = json.dumps(document).encode()
    part = body[: min(cut, len(body) - 1)]
    assert refusal(part).startswith("JSON Parse error: ")


@given(st.text())
def test_strings_are_written_so_that_they_read_back(text: str) -> None:
    assert json.loads(json_string(text.encode())) == text


def test_values_are_quoted_as_in_messages() -> None:
    assert quoted({"a": [1, "b"], "c": {}}) == '{\n    "a": [1, "b"],\n    "c": {}\n}'
    assert quoted(1e38) == "1e38"
    assert quoted('q"\n\x01é') == '"q\\"\\n\\u0001é"'
    assert len(quoted({"a": list(range(1000))})) < 300


@given(st.lists(st.binary(max_size=200), max_size=3))
def test_gzip_is_unpacked_with_all_its_members(parts: list[bytes]) -> None:
    assert gunzip(b"".join(map(gzip.compress, parts)), 600) == b"".join(parts)


def test_gzip_that_is_none_or_too_much() -> None:
    packed = gzip.compress(b"x" * 1000)
    assert gunzip(packed, 1000) == b"x" * 1000
    for body, limit, status, message in (
        (packed, 999, 413, "unpacks to more than 999 bytes, the limit of --max_request_bytes"),
        (packed[:-9], 1000, 400, "cut off"),
        (packed + b"{}", 1000, 400, "is not gzip, as its Content-Encoding says"),
        (b"{}", 1000, 400, "is not gzip, as its Content-Encoding says"),
    ):
        with pytest.raises(ServingError, match=message) as refused:
            gunzip(body, limit)
        assert refused.value.http_status == status
