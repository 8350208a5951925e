"""``/openapi.json``: what each route reads, and every response that it can give.

The tests check the routes against it, by requests that schemathesis makes. It is made at the
first request for it, and costs other requests nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from serving.gateway.http import render
from serving.gateway.http import response_schemas as responses
from serving.gateway.http.openai_schemas import (
    ChatRequest,
    CompletionRequest,
    ResponsesRequest,
)
from serving.gateway.http.schemas import (
    MAX_KEY_CHARACTERS,
    MONTH,
    CountRequest,
    SummariesRequest,
)

_REF: Final = "#/components/schemas/{model}"
_JSON: Final = "application/json"
_STREAM: Final = "text/event-stream"
_KEY_SCHEME: Final = "api_key"

_REASONS: Final = {
    400: "The request is not valid; the message says why",
    401: "The API key is missing, unknown, revoked or expired",
    403: "The API key is suspended, or has not the scope for this; or the tenant's plan has no "
    "price for the model",
    404: "There is no such model, or the key may not use it",
    408: "The body took too long to arrive",
    409: "The idempotency key was used for another request, or its first request is still "
    "running",
    413: "The body is too large",
    415: "The body's content type is not JSON, or it is packed otherwise than with gzip",
    429: "A limit or the budget of the tenant is used up",
    500: "The gateway failed; send the request again with the same idempotency key",
    502: "The model server sent no response or an invalid one; nothing was charged",
    503: "The gateway is overloaded, or no model server can be reached; nothing was charged",
    504: "The model took too long; nothing was charged",
}
_WAIT: Final = {
    "description": "Number of seconds after which to try again",
    "schema": {"type": "integer", "minimum": 1},
}
_NUMBER: Final = {"schema": {"type": "integer", "minimum": 0}}
_TRUE: Final = {"schema": {"type": "string", "const": "true"}}
_ANSWER_HEADERS: Final = {
    render.TRUNCATED: {"description": "Tokens that were cut off", **_NUMBER},
    render.REPLAYED: {"description": "The request was repeated by its key", **_TRUE},
    render.REDELIVERED: {
        "description": "An identical request, whose client had gone, was charged; not this one",
        **_TRUE,
    },
    "x-ratelimit-remaining-requests": {"description": "Left of the minute", **_NUMBER},
    "x-ratelimit-remaining-tokens": {"description": "Left of the minute", **_NUMBER},
    "x-ratelimit-remaining-key-budget-micro": {
        "description": "Left of the month's budget of the key, if it has one",
        **_NUMBER,
    },
}
# Where a request that comes again later may be answered.
_WITH_WAIT: Final = {409, 429, 503}


@dataclass(frozen=True)
class _Operation:
    """A route.

    Attributes:
      summary: what it does.
      answer: of status 200, by its content type.
      errors: every other status it can have.
      body: what it reads.
      keyed: whether it needs an API key.
      parameters: that a client may send, besides.
    """

    summary: str
    answer: dict[str, type[BaseModel]]
    errors: tuple[int, ...]
    body: type[BaseModel] | None = None
    keyed: bool = True
    parameters: tuple[dict[str, Any], ...] = ()


_IDEMPOTENCY_KEY: Final = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "schema": {
        "type": "string",
        "minLength": 1,
        "maxLength": MAX_KEY_CHARACTERS,
        "description": "A repeated request with the same key and body gets the same response "
        "and is charged once; with another body it is rejected.",
    },
}
_MONTH: Final = {
    "name": "month",
    "in": "query",
    "required": False,
    "schema": {"type": "string", "pattern": f"^{MONTH}$", "description": "Such as 2026-11"},
}

_MODEL: Final = {
    "name": "model",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "minLength": 1, "description": "The model's name"},
}

_READS_MODEL: Final = (502, 503, 504)
_READS_BODY: Final = (400, 401, 403, 404, 408, 413, 415, 500, *_READS_MODEL)
_CHARGES: Final = (*_READS_BODY, 409, 429)

_OPERATIONS: Final = {
    ("post", "/v1/chat/completions"): _Operation(
        "Summarise the last message of the user; with `stream` and `include_usage` the "
        "last chunk has the counts",
        {_JSON: responses.ChatCompletion, _STREAM: responses.ChatChunk},
        _CHARGES,
        ChatRequest,
        parameters=(_IDEMPOTENCY_KEY,),
    ),
    ("post", "/v1/completions"): _Operation(
        "Summarise the prompt, of which there is one",
        {_JSON: responses.TextCompletion, _STREAM: responses.TextChunk},
        _CHARGES,
        CompletionRequest,
        parameters=(_IDEMPOTENCY_KEY,),
    ),
    ("post", "/v1/responses"): _Operation(
        "Summarise the input, or its last message of the user",
        {_JSON: responses.ResponseObject, _STREAM: responses.ResponseEvent},
        _CHARGES,
        ResponsesRequest,
        parameters=(_IDEMPOTENCY_KEY,),
    ),
    ("post", "/v1/summaries"): _Operation(
        "Summarise one text or many; the response has the counting contract's own fields",
        {_JSON: responses.Summaries},
        _CHARGES,
        SummariesRequest,
        parameters=(_IDEMPOTENCY_KEY,),
    ),
    ("post", "/v1/count_tokens"): _Operation(
        "Count the tokens that texts would be billed for, with the model's own signature "
        "and without generating summaries",
        {_JSON: responses.Counts},
        (*_READS_BODY, 429),
        CountRequest,
    ),
    ("get", "/v1/models"): _Operation(
        "List the models that the key may use", {_JSON: responses.Models}, (401, 403, 500, 503)
    ),
    ("get", "/v1/models/{model}"): _Operation(
        "A model that the key may use",
        {_JSON: responses.Model},
        (401, 403, 404, 500, 503),
        parameters=(_MODEL,),
    ),
    ("get", "/v1/usage"): _Operation(
        "Tokens and money that the tenant has used in a month, according to the ledger",
        {_JSON: responses.UsageOfMonth},
        (400, 401, 403, 429, 500, 503),
        parameters=(_MONTH,),
    ),
    ("get", "/healthz"): _Operation(
        "Whether the process is alive", {_JSON: responses.Status}, (500,), keyed=False
    ),
}


@cache
def openapi_document() -> dict[str, Any]:
    """The document, OpenAPI 3.1."""
    models = {
        model
        for each in _OPERATIONS.values()
        for model in (each.body, *each.answer.values())
        if model is not None
    } | {responses.Failure}
    _, schemas = models_json_schema(
        [(each, "validation") for each in sorted(models, key=lambda model: model.__name__)],
        ref_template=_REF,
    )
    paths: dict[str, dict[str, Any]] = {}
    for (method, path), operation in _OPERATIONS.items():
        paths.setdefault(path, {})[method] = _described(method, path, operation)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Tallygraph gateway", "version": version("tallygraph")},
        "paths": paths,
        "components": {
            "schemas": schemas["$defs"],
            "securitySchemes": {
                _KEY_SCHEME: {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A tenant's key, such as tg_…",
                }
            },
        },
    }


def _described(method: str, path: str, operation: _Operation) -> dict[str, Any]:
    described: dict[str, Any] = {
        "summary": operation.summary,
        "operationId": f"{method}_{re.sub(r'[^a-z0-9]+', '_', path).strip('_')}",
    }
    if operation.keyed:
        described["security"] = [{_KEY_SCHEME: []}]
    if operation.parameters:
        described["parameters"] = list(operation.parameters)
    if operation.body is not None:
        described["requestBody"] = {
            "required": True,
            "content": {_JSON: _schema(operation.body)},
        }
    content = {kind: _content(kind, model) for kind, model in operation.answer.items()}
    described["responses"] = {"200": {"description": "The answer", "content": content}}
    if _IDEMPOTENCY_KEY in operation.parameters:
        described["responses"]["200"]["headers"] = _ANSWER_HEADERS
    for status in sorted(operation.errors):
        error = {
            "description": _REASONS[status],
            "content": {_JSON: _schema(responses.Failure)},
        }
        if status in _WITH_WAIT:
            error["headers"] = {"Retry-After": _WAIT}
        described["responses"][str(status)] = error
    return described


def _content(kind: str, model: type[BaseModel]) -> dict[str, Any]:
    if kind != _STREAM:
        return _schema(model)
    # Of each event: JSON, but for the last.
    chunk = {"contentMediaType": _JSON, "contentSchema": _schema(model)["schema"]}
    if model is responses.ResponseEvent:  # whose last one says so itself
        data: dict[str, Any] = {"type": "string", **chunk}
        properties = {"event": {"type": "string"}, "data": data}
        return {"schema": {"type": "object", "properties": properties, "required": ["data"]}}
    data = {"type": "string", "anyOf": [{"const": "[DONE]"}, chunk]}
    return {"schema": {"type": "object", "properties": {"data": data}, "required": ["data"]}}


def _schema(model: type[BaseModel]) -> dict[str, Any]:
    return {"schema": {"$ref": _REF.format(model=model.__name__)}}
