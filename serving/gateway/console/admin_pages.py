"""Pages for administrators: what there is, without a change to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from starlette.responses import Response

from serving.billing.invoicing import write_invoice
from serving.gateway import administration
from serving.gateway.admin import queries
from serving.gateway.admin.rendering import plans_of
from serving.gateway.administration.entries import read_entries
from serving.gateway.administration.health import LedgerHealth, read_health
from serving.gateway.administration.ledger import invoiced_months
from serving.gateway.administration.overview import Overview, days_of_tenant, read_overview
from serving.gateway.console.charts import charts_of, first_day
from serving.gateway.console.figures import live_figures
from serving.gateway.console.kept import Kept
from serving.gateway.console.site import DOCUMENT_POLICY, Visit
from serving.gateway.console.versions import ModelVersions, compare_versions, first_of_days
from serving.gateway.errors import bad_request
from serving.gateway.ops.ledger_lag import LedgerLag
from serving.ledger.audit_log import read_changes
from serving.ledger.daily_usage import Dimension, UsageQuery
from serving.ledger.daily_versions import read_version_counts

PAGE: Final = 50
"""Rows of a page."""
OVERVIEW_S: Final = 10.0
"""How old the overview's sums may be: however many look at it, they are read no more often."""
_MOST_ROWS: Final = 100
_NOTICES: Final = {
    "tenant-created": "The tenant is created.",
    "tenant-changed": "The tenant is changed. Running gateways follow within a second.",
    "key-suspended": "The key is suspended. Running gateways follow within a second.",
    "key-resumed": "The key is accepted again.",
    "key-revoked": "The key is revoked. Running gateways follow within a second.",
    "credit-added": "The credit is in the ledger.",
    "refunded": "The refund is in the ledger.",
    "prices-reloaded": "Another price book is in use now, in this gateway.",
    "prices-unchanged": "The price book's file is the one in use already.",
}


@dataclass(frozen=True, slots=True)
class _Health:
    """
    Attributes:
      lag: gauges of how far the ledger is behind, by their names.
    """

    ledger: LedgerHealth
    lag: dict[str, float]


class AdminPages:
    """Each is a handler."""

    def __init__(self, lag: LedgerLag) -> None:
        """
        Args:
          lag: of the ledger.
        """
        self._lag = lag
        self._overview = Kept[Overview](OVERVIEW_S)
        self._versions = Kept[dict[str, ModelVersions]](0.0)
        self._health = Kept[_Health](0.0)

    async def overview(self, visit: Visit) -> Response:
        """All tenants together."""
        now, console = visit.console.clock(), visit.console
        kept = await self._overview.read(
            lambda: console.background.do(
                read_overview, visit.engine, console.month(), first_day(now)
            )
        )
        days = kept.value.days if kept.value else ()
        return visit.page(
            "overview.html",
            waits=kept.value is None,
            kept=kept,
            overview=kept.value,
            month=console.month(),
            live=live_figures(console.metrics),
            charts=charts_of(days, now, console.money(), console.admin.prices.book.currency),
        )

    async def tenants(self, visit: Visit) -> Response:
        """A page of tenants, in the order of their names."""
        after = queries.text(visit.request, "after")
        found = await visit.do(
            administration.list_tenants, visit.engine, visit.console.month(), after, PAGE + 1
        )
        return visit.page(
            "tenants.html",
            tenants=found[:PAGE],
            after=after,
            next=found[PAGE - 1].name if len(found) > PAGE else None,
            plans=sorted(visit.console.admin.prices.book.plans),
        )

    async def tenant(self, visit: Visit) -> Response:
        """A tenant: limits, money, keys, usage, invoices; and what can be done with it."""
        name, month = visit.request.path_params["tenant"], visit.console.month()
        tenant = await visit.do(administration.read_tenant, visit.engine, name, month)
        return visit.page(
            "tenant.html",
            tenant=tenant,
            month=month,
            notice=notice(visit),
            plans=sorted({*visit.console.admin.prices.book.plans, tenant.plan}),
            **await usage_of(visit, name),
        )

    async def entries(self, visit: Visit) -> Response:
        """A page of a tenant's lines in the ledger, the newest first."""
        name = visit.request.path_params["tenant"]
        await visit.do(administration.read_tenant, visit.engine, name, "")
        before = queries.before(visit.request)
        lines = await visit.do(read_entries, visit.engine, name, PAGE + 1, before)
        return visit.page(
            "entries.html",
            name=name,
            lines=lines[:PAGE],
            next=lines[PAGE - 1].number if len(lines) > PAGE else None,
        )

    async def key(self, visit: Visit) -> Response:
        """A key, and what can be done with it."""
        key_id = visit.request.path_params["key_id"]
        record = await visit.do(administration.read_key, visit.engine, key_id)
        return visit.page("key.html", key=record, notice=notice(visit))

    async def models(self, visit: Visit) -> Response:
        """Model servers, versions and labels, and how the canary compares."""
        servers, console = await visit.console.model_servers(), visit.console
        models = sorted({price.model for price in console.admin.prices.book.prices})
        since = first_of_days(console.clock())

        def read() -> dict[str, ModelVersions]:
            console.tally.write()  # what this gateway has counted a moment ago, too
            return compare_versions(models, read_version_counts(visit.engine, since))

        kept = await self._versions.read(lambda: console.background.do(read))
        return visit.page(
            "models.html",
            waits=kept.value is None,
            servers=servers,
            label=console.label,
            canary=console.canary,
            kept=kept,
            models=kept.value or {},
        )

    async def ledger(self, visit: Visit) -> Response:
        """How the ledger is."""

        def read() -> _Health:
            return _Health(read_health(visit.engine), self._read_lag())

        kept = await self._health.read(lambda: visit.console.background.do(read))
        return visit.page(
            "ledger.html",
            waits=kept.value is None,
            kept=kept,
            health=kept.value and kept.value.ledger,
            lag=kept.value and kept.value.lag,
        )

    async def prices(self, visit: Visit) -> Response:
        """The plans of the price book in use."""
        prices = visit.console.admin.prices
        return visit.page("prices.html", **plans_of(prices), notice=notice(visit))

    async def audit_log(self, visit: Visit) -> Response:
        """A page of what administrators changed, the newest first."""
        before, tenant = queries.before(visit.request), queries.text(visit.request, "tenant")
        found = await visit.do(read_changes, visit.engine, PAGE + 1, before, tenant)
        return visit.page(
            "audit_log.html",
            changes=found[:PAGE],
            tenant=tenant,
            next=found[PAGE - 1].id if len(found) > PAGE else None,
        )

    async def invoice(self, visit: Visit) -> Response:
        """A tenant's invoice."""
        return await invoice_of(visit, visit.request.path_params["tenant"])

    def _read_lag(self) -> dict[str, float]:
        return {family.name: family.samples[0].value for family in self._lag.collect()}


async def usage_of(visit: Visit, tenant: str) -> dict[str, Any]:
    """A tenant's usage of the last days, by day, key and model, and its months."""
    console, now = visit.console, visit.console.clock()
    since = first_day(now)

    async def by(dimension: Dimension) -> Any:
        query = UsageQuery(since=since, by=(dimension,), tenant=tenant, limit=_MOST_ROWS)
        return await visit.do(administration.usage_by, visit.engine, query)

    days = await visit.do(days_of_tenant, visit.engine, tenant, since)
    return {
        "charts": charts_of(days, now, console.money(), console.admin.prices.book.currency),
        "by_key": await by("key_id"),
        "by_model": await by("model"),
        "months": await visit.do(invoiced_months, visit.engine, tenant),
    }


async def invoice_of(visit: Visit, tenant: str) -> Response:
    """A tenant's invoice as a page, or as a PDF to keep.

    Raises:
      GatewayError: there is no such tenant or month, or it cannot be made.
    """
    kind, admin = queries.text(visit.request, "format") or "html", visit.console.admin
    if kind not in ("html", "pdf"):
        raise bad_request("format must be html or pdf.", "format")
    await visit.do(administration.read_tenant, visit.engine, tenant, "")
    month = visit.request.path_params["month"]
    written = await visit.do(
        write_invoice,
        admin.engine,
        tenant,
        month,
        kind,
        admin.invoice_details,
        clock=visit.console.clock,
    )
    headers = {"Content-Security-Policy": DOCUMENT_POLICY}
    if kind == "pdf":
        headers["Content-Disposition"] = f'attachment; filename="{tenant}-{month}.pdf"'
    return Response(written.content, headers=headers, media_type=written.media_type)


def notice(visit: Visit) -> str:
    """What has just been done; only what is known is ever shown."""
    return _NOTICES.get(visit.request.query_params.get("done", ""), "")
