"""``/admin/v1/openapi.json``: what each route reads, and every response that it can give.

The tests check the routes against it, by requests that schemathesis makes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from serving.billing.invoicing import MEDIA_TYPES
from serving.gateway.admin import schemas
from serving.gateway.admin.queries import BY, DEFAULT_PAGE, MAX_PAGE, MAX_TEXT
from serving.gateway.http.response_schemas import Failure
from serving.gateway.http.schemas import MONTH
from serving.ledger.daily_usage import DIMENSIONS

_REF: Final = "#/components/schemas/{model}"
_JSON: Final = "application/json"
_TOKEN: Final = "admin_token"
_REASONS: Final = {
    400: "The request is not valid, or what it asks for cannot be; the message says why",
    401: "The admin token is missing or unknown",
    403: "The admin API is off: the gateway was started without --admin-token-file",
    404: "There is no such tenant, or no such key",
    408: "The body took too long to arrive",
    409: "The name is taken",
    413: "The body is too large",
    415: "The body's content type is not JSON, or it is packed otherwise than with gzip",
    500: "The gateway failed",
    503: "The ledger cannot be reached or written",
}
_DATABASE: Final = (401, 403, 500, 503)
_BODY: Final = (400, 408, 413, 415)


def _query(name: str, description: str, **schema: Any) -> dict[str, Any]:
    return {
        "name": name,
        "in": "query",
        "required": False,
        "schema": {"type": "string", **schema, "description": description},
    }


def _in_path(name: str, description: str, **schema: Any) -> dict[str, Any]:
    shape = {"type": "string", "minLength": 1, **schema, "description": description}
    return {"name": name, "in": "path", "required": True, "schema": shape}


_TENANT: Final = _in_path("tenant", "The tenant's name")
_KEY: Final = _in_path("key_id", "The key's id: the part between its underscores")
_MONTH: Final = _query("month", "Whose money is told: such as 2026-11", pattern=f"^{MONTH}$")
_LIMIT: Final = {
    **_query("limit", ""),
    "schema": {
        "type": "integer",
        "minimum": 1,
        "maximum": MAX_PAGE,
        "description": f"Rows of a page at most; {DEFAULT_PAGE} if it is not given",
    },
}
_DAY: Final = {"format": "date", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"}
_NAME: Final = {"maxLength": MAX_TEXT, "pattern": "^[!-~]*$"}


@dataclass(frozen=True)
class _Operation:
    """A route.

    Attributes:
      summary: what it does.
      answer: its schema.
      errors: every status that it can have, besides those of all.
      body: what it reads.
      parameters: of its path and its query.
      status: of the answer.
      also: further content types of the answer.
    """

    summary: str
    answer: type[BaseModel]
    errors: tuple[int, ...] = ()
    body: type[BaseModel] | None = None
    parameters: tuple[dict[str, Any], ...] = ()
    status: int = 200
    also: tuple[str, ...] = ()


_OPERATIONS: Final = {
    ("get", "/tenants"): _Operation(
        "List the tenants, in the order of their names",
        schemas.Tenants,
        (400,),
        parameters=(
            _query("after", "Only tenants whose names come after this one", **_NAME),
            _LIMIT,
            _MONTH,
        ),
    ),
    ("post", "/tenants"): _Operation(
        "Create a tenant, without a key",
        schemas.Tenant,
        (*_BODY, 409),
        schemas.TenantToCreate,
        status=201,
    ),
    ("get", "/tenants/{tenant}"): _Operation(
        "A tenant: plan, limits, keys, and what it has spent",
        schemas.Tenant,
        (400, 404),
        parameters=(_TENANT, _MONTH),
    ),
    ("patch", "/tenants/{tenant}"): _Operation(
        "Change a tenant's plan or limits",
        schemas.Tenant,
        (*_BODY, 404),
        schemas.TenantChange,
        (_TENANT,),
    ),
    ("get", "/tenants/{tenant}/keys"): _Operation(
        "List a tenant's keys, the oldest first",
        schemas.Keys,
        (404,),
        parameters=(_TENANT,),
    ),
    ("post", "/tenants/{tenant}/keys"): _Operation(
        "Create a key; the response has its secret, once",
        schemas.CreatedKey,
        (*_BODY, 404),
        schemas.KeyToCreate,
        (_TENANT,),
        201,
    ),
    ("get", "/tenants/{tenant}/invoices"): _Operation(
        "List the months that a tenant has an invoice, or a draft, for",
        schemas.Invoices,
        (404,),
        parameters=(_TENANT,),
    ),
    ("get", "/tenants/{tenant}/invoices/{month}"): _Operation(
        "A tenant's invoice for a month; a draft until it has ended",
        schemas.InvoiceSchema,
        (400, 404),
        parameters=(
            _TENANT,
            _in_path("month", "Such as 2026-11", pattern=f"^(?!0000){MONTH}$"),
            {
                **_query("format", ""),
                "schema": {"type": "string", "enum": [*MEDIA_TYPES]},
            },
            _query("issued", "Date of issue, after the month", **_DAY),
        ),
        also=tuple(kind for kind in MEDIA_TYPES.values() if kind != _JSON),
    ),
    ("get", "/keys/{key_id}"): _Operation(
        "A key, without its secret", schemas.Key, (404,), parameters=(_KEY,)
    ),
    ("patch", "/keys/{key_id}"): _Operation(
        "Change a key's name, models, scopes, budget or expiry; suspend it, or resume it",
        schemas.Key,
        (*_BODY, 404),
        schemas.KeyToChange,
        (_KEY,),
    ),
    ("post", "/keys/{key_id}/rotate"): _Operation(
        "Give a key a new secret; the one before is accepted for a while",
        schemas.CreatedKey,
        (*_BODY, 404),
        schemas.Rotation,
        (_KEY,),
        201,
    ),
    ("post", "/keys/{key_id}/revoke"): _Operation(
        "Revoke a key, which cannot be undone",
        schemas.Key,
        (*_BODY, 404),
        schemas.Nothing,
        (_KEY,),
    ),
    ("get", "/plans"): _Operation("List the plans of the price book in use", schemas.Plans),
    ("post", "/prices/reload"): _Operation(
        "Read the price book's file again, in this gateway",
        schemas.Reloaded,
        _BODY,
        schemas.Nothing,
    ),
    ("get", "/usage"): _Operation(
        "What was used, by day, key and model: charges less what was reversed",
        schemas.UsagePage,
        (400,),
        parameters=(
            _query("tenant", "Only this tenant's", **_NAME),
            _query("key_id", "Only this key's", **_NAME),
            _query("model", "Only of this model", **_NAME),
            _query("since", "First day, UTC", **_DAY),
            _query("until", "Last day, UTC", **_DAY),
            _query(
                "by",
                f"What is told apart: some of {', '.join(DIMENSIONS)}, with commas between "
                f"them; {','.join(BY)} if it is not given",
                enum=[",".join(BY), "day", "tenant", "key_id", "model", "tenant,day"],
            ),
            _query("after", "`next` of the page before", pattern=r"^\[.*\]$"),
            _LIMIT,
        ),
    ),
    ("post", "/ledger/check"): _Operation(
        "Check every entry of the ledger, or of a tenant's; it takes as long as it takes",
        schemas.CheckResult,
        (*_BODY, 404),
        schemas.LedgerCheck,
    ),
    ("post", "/ledger/anchors"): _Operation(
        "Make an anchor of all chains", schemas.Anchor, _BODY, schemas.AnchorToMake, status=201
    ),
    ("get", "/audit-log"): _Operation(
        "List what administrators changed, the newest first",
        schemas.AuditLog,
        (400,),
        parameters=(
            _query("tenant", "Only what concerns this tenant", **_NAME),
            {
                **_query("before", ""),
                "schema": {
                    "type": "integer",
                    "minimum": 1,
                    "maximum": 2**63 - 1,
                    "description": "Only changes that are older than the one of this id",
                },
            },
            _LIMIT,
        ),
    ),
}


@cache
def openapi_document() -> dict[str, Any]:
    """The document, OpenAPI 3.1."""
    models = {
        model
        for each in _OPERATIONS.values()
        for model in (each.body, each.answer)
        if model is not None
    } | {Failure}
    _, definitions = models_json_schema(
        [(each, "validation") for each in sorted(models, key=lambda model: model.__name__)],
        ref_template=_REF,
    )
    paths: dict[str, dict[str, Any]] = {}
    for (method, path), operation in _OPERATIONS.items():
        paths.setdefault(f"/admin/v1{path}", {})[method] = _described(method, path, operation)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Tallygraph admin API", "version": version("tallygraph")},
        "paths": paths,
        "components": {
            "schemas": definitions["$defs"],
            "securitySchemes": {
                _TOKEN: {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A token of the file of --admin-token-file",
                }
            },
        },
    }


def _described(method: str, path: str, operation: _Operation) -> dict[str, Any]:
    content: dict[str, Any] = {_JSON: _schema(operation.answer)}
    content |= {kind: {"schema": {"type": "string"}} for kind in operation.also}
    described: dict[str, Any] = {
        "summary": operation.summary,
        "operationId": f"{method}_{re.sub(r'[^a-z0-9]+', '_', path).strip('_')}",
        "security": [{_TOKEN: []}],
        "responses": {
            str(operation.status): {"description": "The answer", "content": content},
            **{
                str(status): {
                    "description": _REASONS[status],
                    "content": {_JSON: _schema(Failure)},
                }
                for status in sorted({*_DATABASE, *operation.errors})
            },
        },
    }
    if operation.parameters:
        described["parameters"] = list(operation.parameters)
    if operation.body is not None:
        described["requestBody"] = {
            "required": True,
            "content": {_JSON: _schema(operation.body)},
        }
    return described


def _schema(model: type[BaseModel]) -> dict[str, Any]:
    return {"schema": {"$ref": _REF.format(model=model.__name__)}}
