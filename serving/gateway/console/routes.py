"""The console's routes: who may see which page."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from serving.gateway.admin.access import Admin
from serving.gateway.backends import Canary
from serving.gateway.console import account_pages, entrance
from serving.gateway.console.admin_pages import AdminPages
from serving.gateway.console.confirmation import Confirmations
from serving.gateway.console.sessions import PATH
from serving.gateway.console.site import (
    Console,
    Page,
    Visit,
    Who,
    answer,
    compile_templates,
    go_to,
)
from serving.gateway.http.routes import Gateway
from serving.gateway.ops.ledger_lag import LedgerLag
from serving.ledger.clock import Clock, utc_now

Handler = Callable[[Request], Awaitable[Response]]


def console_routes(
    admin: Admin,
    gateway: Gateway,
    label: str | None = None,
    canary: Canary | None = None,
    clock: Clock = utc_now,
) -> list[Route]:
    """The console, for the private application.

    Args:
      label, canary: of the versions that serve; None for the newest, and for no canary.
      clock: UTC.
    """
    compile_templates()
    console = Console(
        admin, gateway.metrics, gateway.model_servers, gateway.tally, label, canary, clock
    )
    pages, confirmations = AdminPages(LedgerLag(admin.engine, clock)), Confirmations()

    async def begin(visit: Visit) -> Response:
        if visit.tenant:
            return go_to(f"{PATH}/account")
        if visit.administrator_name is None:
            return go_to(f"{PATH}/sign-in")
        return await pages.overview(visit)

    table: list[tuple[str, str, Who, Page]] = [
        ("GET", "", "anyone", begin),
        ("GET", "/sign-in", "anyone", entrance.show_sign_in),
        ("POST", "/sign-in", "anyone", entrance.sign_in),
        ("POST", "/sign-out", "anyone", entrance.sign_out),
        ("GET", "/console.css", "public", entrance.style),
        ("GET", "/icon.svg", "public", entrance.icon),
        ("GET", "/tenants", "admin", pages.tenants),
        ("GET", "/tenants/{tenant}", "admin", pages.tenant),
        ("GET", "/tenants/{tenant}/entries", "admin", pages.entries),
        ("GET", "/tenants/{tenant}/invoices/{month}", "admin", pages.invoice),
        ("GET", "/keys/{key_id}", "admin", pages.key),
        ("GET", "/models", "admin", pages.models),
        ("GET", "/ledger", "admin", pages.ledger),
        ("GET", "/prices", "admin", pages.prices),
        ("GET", "/audit-log", "admin", pages.audit_log),
        ("POST", "/do/{action}", "admin", confirmations.act),
        ("GET", "/account", "tenant", account_pages.account),
        ("GET", "/account/invoices/{month}", "tenant", account_pages.account_invoice),
        ("GET", "/{path:path}", "anyone", entrance.no_page),
    ]
    by_path: dict[str, dict[str, tuple[Who, Page]]] = {}
    for method, path, who, page in table:
        by_path.setdefault(path, {})[method] = who, page
    return [
        Route(PATH + path, _handler(console, pages_of), methods=[*pages_of])
        for path, pages_of in by_path.items()
    ]


def _handler(console: Console, pages: Mapping[str, tuple[Who, Page]]) -> Handler:
    async def handle(request: Request) -> Response:
        method = "GET" if request.method == "HEAD" else request.method
        return await answer(console, request, *pages[method])

    return handle
