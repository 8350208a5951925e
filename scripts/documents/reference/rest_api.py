"""The gateway's REST API, from its OpenAPI document."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from benchmarks.markdown import table
from scripts.documents.reference.text import cell, code, prose
from serving.gateway.admin.openapi import openapi_document as admin_document
from serving.gateway.http.openapi import openapi_document

_HEAD: Final = """\
# REST API

The API of the gateway for clients. It serves the source of this page at `/openapi.json`, and
its tests check it against that document with generated requests. `/v1/...` needs the header
`Authorization: Bearer tg_...`; errors have OpenAI's format. Chat completions follow OpenAI's
API, so its clients work unchanged.

The model server behind it has [TensorFlow Serving's REST
API](https://github.com/tensorflow/serving/blob/master/tensorflow_serving/g3doc/api_rest.md);
the inputs and outputs of its three signatures are in [the counting
contract](counting-contract.md).
"""


_ADMIN_HEAD: Final = """\
# Admin API

The API on the gateway's private address, for those who run it ([how to use
it](../how-to/admin-api.md)). It serves the source of this page at `/admin/v1/openapi.json`, and
its tests check it against that document with generated requests. It needs the header
`Authorization: Bearer ...` with a token of the file of `--admin-token-file`; errors have
OpenAI's format. Times are UTC, money is
in millionths of the currency's unit.
"""


def rest_api() -> str:
    """The page of the API for clients."""
    return _page(_HEAD, openapi_document())


def admin_api() -> str:
    """The page of the API for administrators."""
    return _page(_ADMIN_HEAD, admin_document())


def _page(page: str, document: Mapping[str, Any]) -> str:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            page += _operation(f"{method.upper()} {path}", operation)
    page += "\n## Schemas\n"
    for name, schema in sorted(document["components"]["schemas"].items()):
        page += f"\n### {name}\n\n{prose(schema.get('description'))}\n\n{_fields(schema)}"
    return page


def _operation(title: str, operation: Mapping[str, Any]) -> str:
    page = f"\n## {title}\n\n{operation['summary']}.\n\n"
    if "requestBody" in operation:
        page += f"Request: {_content(operation['requestBody']['content'])}\n\n"
    good = next(status for status in operation["responses"] if status.startswith("2"))
    answer = operation["responses"][good]
    page += f"Response: {_content(answer['content'])}\n\n"
    if operation.get("parameters"):
        rows = [
            (code(each["name"]), each["in"], cell(each["schema"].get("description", "")))
            for each in operation["parameters"]
        ]
        page += table(("parameter", "in", "meaning"), rows) + "\n"
    errors = [
        (status, cell(response["description"]), "yes" if "headers" in response else "")
        for status, response in operation["responses"].items()
        if status != good
    ]
    return page + table(("status", "when", "with Retry-After"), errors)


def _content(content: Mapping[str, Any]) -> str:
    kinds = [f"{_type(each['schema'])} as `{kind}`" for kind, each in content.items()]
    return ", or ".join(kinds)


def _fields(schema: Mapping[str, Any]) -> str:
    required = schema.get("required", [])
    rows = [
        (code(name), _type(field), "yes" if name in required else "")
        for name, field in schema.get("properties", {}).items()
    ]
    return table(("field", "type", "required"), rows)


def _type(schema: Mapping[str, Any]) -> str:
    """A JSON schema in words that fit a table."""
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[1]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in schema:
        return " or ".join(_type(each) for each in schema["anyOf"])
    if "const" in schema:
        return code(repr(schema["const"]).replace("'", '"'))
    if "enum" in schema:
        return " or ".join(code(f'"{each}"') for each in schema["enum"])
    if "contentSchema" in schema:
        return _type(schema["contentSchema"])
    kind = schema.get("type", "any")
    if kind == "array":
        return f"list of {_type(schema.get('items', {}))}{_bounds(schema)}"
    if kind == "object" and "data" in schema.get("properties", {}):
        return f"events, each {_type(schema['properties']['data'])}"
    return f"{kind}{_bounds(schema)}"


def _bounds(schema: Mapping[str, Any]) -> str:
    """The limits that a value is held to."""
    words = {
        "minimum": "at least {}",
        "maximum": "at most {}",
        "minLength": "{} characters or more",
        "maxLength": "{} characters at most",
        "minItems": "{} or more",
        "maxItems": "{} at most",
    }
    said = [text.format(schema[name]) for name, text in words.items() if name in schema]
    return f" ({', '.join(said)})" if said else ""
