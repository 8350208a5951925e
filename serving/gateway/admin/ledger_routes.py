"""Routes of the admin API about prices, usage, invoices and the ledger as a whole."""

from __future__ import annotations

from dataclasses import asdict

from starlette.requests import Request
from starlette.responses import Response

from serving.billing.invoicing import write_invoice
from serving.gateway import administration
from serving.gateway.admin import queries
from serving.gateway.admin.access import Access, json_response, said
from serving.gateway.admin.rendering import page_of_usage, plans_of
from serving.gateway.admin.schemas import AnchorToMake, LedgerCheck, Nothing
from serving.gateway.administration.health import record_check
from serving.gateway.administration.ledger import anchor_ledger, check_ledger, invoiced_months
from serving.gateway.administration.prices import reload_prices
from serving.gateway.http.parse import read_body
from serving.ledger.audit_log import read_changes


class LedgerRoutes:
    """Money, and what was changed."""

    def __init__(self, access: Access) -> None:
        self._access = access

    async def plans(self, request: Request) -> Response:
        """The price book's plans."""
        self._access.administrator(request)
        return json_response(plans_of(self._access.admin.prices))

    async def reload_prices(self, request: Request) -> Response:
        """The price book's file, read again by this gateway."""
        by = self._access.administrator(request)
        await read_body(request, Nothing)
        changed = await self._access.do(reload_prices, by, self._access.admin.prices)
        return json_response(
            {"changed": changed, "fingerprint": self._access.admin.prices.fingerprint}
        )

    async def usage(self, request: Request) -> Response:
        """What was used, by day, key and model."""
        self._access.administrator(request)
        query = queries.usage_query(request)
        rows = await self._access.do(administration.usage_by, self._access.admin.engine, query)
        return json_response(page_of_usage(query, rows))

    async def list_invoices(self, request: Request) -> Response:
        """A tenant's months."""
        self._access.administrator(request)
        tenant = await self._access.tenant(request)
        months = await self._access.do(
            invoiced_months, self._access.admin.engine, tenant["name"]
        )
        return json_response({"invoices": [asdict(each) for each in months]})

    async def read_invoice(self, request: Request) -> Response:
        """An invoice, in one of its formats."""
        self._access.administrator(request)
        tenant = await self._access.tenant(request)
        written = await self._access.do(
            write_invoice,
            self._access.admin.engine,
            tenant["name"],
            request.path_params["month"],
            queries.text(request, "format") or "json",
            self._access.admin.invoice_details,
            queries.text(request, "issued"),
        )
        return Response(written.content, media_type=written.media_type)

    async def check_ledger(self, request: Request) -> Response:
        """Whether the ledger is as it must be."""
        by = self._access.administrator(request)
        _, body = await read_body(request, LedgerCheck)
        if body.tenant is not None:
            await self._access.do(
                administration.read_tenant, self._access.admin.engine, body.tenant, ""
            )
        key = self._access.admin.ledger_key
        with said():
            checked = await check_ledger(
                self._access.admin.engine, body.tenant or "", [key] if key else [], body.anchors
            )
        await self._access.do(record_check, by, body.tenant or "", checked)
        return json_response(asdict(checked))

    async def make_anchor(self, request: Request) -> Response:
        """An anchor of all chains."""
        by = self._access.administrator(request)
        _, body = await read_body(request, AnchorToMake)
        lines = await self._access.do(
            anchor_ledger, by, self._access.admin.ledger_key, body.deliver
        )
        return json_response({"lines": lines}, 201)

    async def audit_log(self, request: Request) -> Response:
        """A page of what administrators changed."""
        self._access.administrator(request)
        most, before = queries.limit(request), queries.before(request)
        tenant = queries.text(request, "tenant")
        found = await self._access.do(
            read_changes, self._access.admin.engine, most + 1, before, tenant
        )
        more = len(found) > most
        page = {
            "changes": [asdict(each) for each in found[:most]],
            "next": found[most - 1].id if more else None,
        }
        return json_response(page)
