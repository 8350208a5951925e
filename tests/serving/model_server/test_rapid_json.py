"""JSON that TensorFlow Serving takes and the standard does not, and its words for the rest."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.model_server.errors import ServingError
from serving.model_server.json_text import json_string, quoted
from serving.model_server.rapid_json import MAX_SECOND_LOOK_BYTES, parse_object


def refusal(body: bytes) -> str:
    with pytest.raises(ServingError) as refused:
        parse_object(body)
    assert refused.value.http_status == 400
    return refused.value.message


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "JSON Parse error: The document is empty"),
        (b"  ", "JSON Parse error: The document is empty. at offset: 2"),
        (b"hello", "JSON Parse error: Invalid value. at offset: 0"),
        (b'{"a": tru}', "JSON Parse error: Invalid value. at offset: 9"),
        (b'{"a": }', "JSON Parse error: Invalid value. at offset: 6"),
        (b'{"a": [1,]}', "JSON Parse error: Invalid value. at offset: 9"),
        (b"{a: 1}", "JSON Parse error: Missing a name for object member. at offset: 1"),
        (b'{"a": 1,}', "JSON Parse error: Missing a name for object member. at offset: 8"),
        (
            b'{"a" 1}',
            "JSON Parse error: Missing a colon after a name of object member. at offset: 5",
        ),
        (
            b'{"a": 1 2}',
            "JSON Parse error: Missing a comma or } after an object member. at offset: 8",
        ),
        (
            b'{"a": [1 2]}',
            "JSON Parse error: Missing a comma or ] after an array element. at offset: 9",
        ),
        (
            b'{"a": "x',
            "JSON Parse error: Missing a closing quotation mark in string. at offset: 8",
        ),
        (
            b'{"a": "\\x"}',
            "JSON Parse error: Invalid escape character in string. at offset: 7",
        ),
        (
            b'{"a": "\\u12G4"}',
            "JSON Parse error: Incorrect hex digit after \\u escape in string. at offset: 7",
        ),
        (
            b'{"a": "\\ud800"}',
            "JSON Parse error: The surrogate pair in string is invalid. at offset: 7",
        ),
        (b'{"a": "\n"}', "JSON Parse error: Invalid encoding in string. at offset: 7"),
        (b'{"a": 1.}', "JSON Parse error: Miss fraction part in number. at offset: 8"),
        (b'{"a": 1e}', "JSON Parse error: Miss exponent in number. at offset: 8"),
        (
            b'{"a": 1e999}',
            "JSON Parse error: Number too big to be stored in double. at offset: 6",
        ),
        (b"[1, 2]", "JSON Value: [1, 2] Is not object"),
        (b'"text"', 'JSON Value: "text" Is not object'),
    ],
)
def test_what_is_refused(body: bytes, message: str) -> None:
    assert refusal(body) == message


def test_what_the_standard_does_not_know() -> None:
    assert parse_object(b'{"a": 1} and the rest') == {"a": 1}
    assert parse_object(b'\xef\xbb\xbf{"a": Infinity, "b": -Inf}') == {
        "a": math.inf,
        "b": -math.inf,
    }
    assert math.isnan(parse_object(b'{"a": NaN}')["a"])
    text = parse_object(b'{"a": "\xff\\u00e9"}')["a"]
    assert text.encode("utf-8", "surrogateescape") == b"\xff\xc3\xa9"


def test_depth_is_bounded() -> None:
    assert "Nested deeper than 256 levels" in refusal(b'{"a": ' + b"[" * 100_000)


def test_a_large_wrong_body_is_not_looked_at_twice() -> None:
    body = b'{"a": "' + b"x" * MAX_SECOND_LOOK_BYTES
    assert refusal(body).startswith("JSON Parse error: ")


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
def test_the_second_parser_agrees_with_the_standard_one(
    document: dict[str, Any], plain: bool
) -> None:
    text = json.dumps(document, ensure_ascii=plain)
    # What follows the document makes orjson refuse it, and the second parser read it.
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
