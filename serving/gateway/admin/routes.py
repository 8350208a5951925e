"""The admin API's routes: each reads a request, calls a function, and renders what comes of it.

None of them knows SQL or decides anything: `serving.gateway.administration` does.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from serving.gateway.admin.access import Access, Admin, json_response
from serving.gateway.admin.ledger_routes import LedgerRoutes
from serving.gateway.admin.openapi import openapi_document
from serving.gateway.admin.tenant_routes import TenantRoutes

Handler = Callable[[Request], Awaitable[Response]]

PREFIX: Final = "/admin/v1"
_TENANT: Final = "/tenants/{tenant}"
_KEY: Final = "/keys/{key_id}"


def admin_routes(admin: Admin) -> list[Route]:
    """The API, as `openapi.py` describes it."""
    access = Access(admin)
    tenants, ledger = TenantRoutes(access), LedgerRoutes(access)
    routes: list[tuple[str, str, Handler]] = [
        ("GET", "/tenants", tenants.list_tenants),
        ("POST", "/tenants", tenants.create_tenant),
        ("GET", _TENANT, tenants.read_tenant),
        ("PATCH", _TENANT, tenants.change_tenant),
        ("GET", f"{_TENANT}/keys", tenants.list_keys),
        ("POST", f"{_TENANT}/keys", tenants.create_key),
        ("GET", _KEY, tenants.read_key),
        ("PATCH", _KEY, tenants.change_key),
        ("POST", f"{_KEY}/rotate", tenants.rotate_key),
        ("POST", f"{_KEY}/revoke", tenants.revoke_key),
        ("GET", f"{_TENANT}/invoices", ledger.list_invoices),
        ("GET", f"{_TENANT}/invoices/{{month}}", ledger.read_invoice),
        ("GET", "/plans", ledger.plans),
        ("POST", "/prices/reload", ledger.reload_prices),
        ("GET", "/usage", ledger.usage),
        ("POST", "/ledger/check", ledger.check_ledger),
        ("POST", "/ledger/anchors", ledger.make_anchor),
        ("GET", "/audit-log", ledger.audit_log),
        ("GET", "/openapi.json", _openapi),
    ]
    by_path: dict[str, dict[str, Handler]] = {}
    for method, path, handler in routes:
        by_path.setdefault(path, {})[method] = handler
    return [
        Route(PREFIX + path, _by_method(handlers), methods=[*handlers])
        for path, handlers in by_path.items()
    ]


def _by_method(handlers: Mapping[str, Handler]) -> Handler:
    """One route for all methods of a path: so a refusal names all that are allowed."""

    async def handle(request: Request) -> Response:
        method = "GET" if request.method == "HEAD" else request.method
        return await handlers[method](request)

    return handle


async def _openapi(request: Request) -> Response:
    """The description of this API, which is no secret."""
    return json_response(openapi_document())
