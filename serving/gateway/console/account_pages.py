"""Pages for whoever has a tenant's key: its usage, limits, invoices, keys, and nobody else's.

No path and no parameter names a tenant: it is always the session's.
"""

from __future__ import annotations

from starlette.responses import Response

from serving.gateway import administration
from serving.gateway.console.admin_pages import invoice_of, usage_of
from serving.gateway.console.site import Visit


async def account(visit: Visit) -> Response:
    """A tenant as it sees itself."""
    assert visit.tenant is not None
    month = visit.console.month()
    tenant = await visit.do(administration.read_tenant, visit.engine, visit.tenant, month)
    return visit.page(
        "account.html", tenant=tenant, month=month, **await usage_of(visit, visit.tenant)
    )


async def account_invoice(visit: Visit) -> Response:
    """One of its invoices."""
    assert visit.tenant is not None
    return await invoice_of(visit, visit.tenant)
