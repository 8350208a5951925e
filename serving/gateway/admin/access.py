"""What all routes of the admin API share: who asks, and how functions are called for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, ParamSpec, TypeVar

import anyio
import orjson
import sqlalchemy as sa
from starlette.requests import Request
from starlette.responses import Response

from serving.billing import PriceBookError
from serving.billing.invoice import InvoiceError
from serving.billing.invoice_details import DetailsError
from serving.gateway import administration
from serving.gateway.admin import queries
from serving.gateway.admin.rendering import tenant_of
from serving.gateway.admin.tokens import AdminTokens
from serving.gateway.administration import Administrator
from serving.gateway.administration.ledger import CheckError
from serving.gateway.administration.prices import Prices
from serving.gateway.errors import GatewayError, bad_request
from serving.gateway.ledger_port import outages_refused
from serving.gateway.tenants import NoSuchTenantError, TenantError, TenantExistsError
from serving.ledger import LedgerError, UnknownTenantError

AT_A_TIME: Final = 2
"""Of these requests, how many use the database at a time: those of tenants come first."""
_CHALLENGE: Final = 'Bearer realm="tallygraph admin"'

P = ParamSpec("P")
R = TypeVar("R")


def _nobody(tenant: str) -> None:
    """Nothing is cached."""


@dataclass(frozen=True)
class Admin:
    """What the admin API works with.

    Attributes:
      tokens: of those who may use it; None: nobody may.
      forget: told of each tenant that has changed.
      invoice_details: file with seller, buyers and taxes; None: invoices are drafts.
      ledger_key: file of the key that the ledger's entries are authenticated with.
    """

    engine: sa.Engine
    prices: Prices
    tokens: AdminTokens | None = None
    forget: Callable[[str], None] = _nobody
    invoice_details: Path | None = None
    ledger_key: Path | None = None
    at_a_time: anyio.CapacityLimiter = field(
        default_factory=lambda: anyio.CapacityLimiter(AT_A_TIME)
    )


class Access:
    """Knows who asks, and calls functions of `serving.gateway.administration` for them."""

    def __init__(self, admin: Admin) -> None:
        self.admin = admin

    async def tenant(self, request: Request) -> dict[str, Any]:
        """The tenant of the path."""
        name, month = request.path_params["tenant"], queries.month(request)
        found = await self.do(administration.read_tenant, self.admin.engine, name, month)
        return tenant_of(found)

    def administrator(self, request: Request) -> Administrator:
        """Who sends the request.

        Raises:
          GatewayError: 403, the API is off; 401, nobody that is known.
        """
        if self.admin.tokens is None:
            raise GatewayError(
                403,
                "The admin API is off. To use it, start the gateway with --admin-token-file "
                "and a file with a token, as of `openssl rand -hex 32`.",
                "permission_error",
                "admin_api_off",
            )
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        name = self.admin.tokens.holder(token.strip()) if scheme.lower() == "bearer" else None
        if name is None:
            raise GatewayError(
                401,
                "The admin token is missing or unknown. Expected: the header 'Authorization: "
                "Bearer …' with a token of the file of --admin-token-file.",
                "authentication_error",
                "invalid_admin_token",
                headers={"WWW-Authenticate": _CHALLENGE},
            )
        return Administrator(
            self.admin.engine,
            name,
            "api",
            lambda: self.admin.prices.book.plans,
            self.admin.forget,
        )

    async def do(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call a function in a thread, a few at a time.

        Raises:
          GatewayError: what it refuses, and 503 where the database is out.
        """
        with said(), outages_refused():
            return await anyio.to_thread.run_sync(
                lambda: work(*args, **kwargs), limiter=self.admin.at_a_time
            )


@contextmanager
def said() -> Iterator[None]:
    """Around a call: what it refuses becomes the response."""
    try:
        yield
    except (NoSuchTenantError, UnknownTenantError) as error:
        raise GatewayError(404, str(error), code="not_found") from None
    except TenantExistsError as error:
        raise GatewayError(409, str(error), code="already_exists") from None
    except sa.exc.IntegrityError as error:
        raise GatewayError(
            409,
            "Another change was made at the same time, and this one contradicts it. Nothing "
            "was done. Look at what there is now, and try again if it is still wanted.",
            code="conflict",
        ) from error
    except (TenantError, LedgerError, InvoiceError, DetailsError, PriceBookError) as error:
        raise bad_request(str(error)) from None
    except CheckError as error:
        raise GatewayError(500, str(error), "server_error", "check_failed") from None


def json_response(value: object, status: int = 200) -> Response:
    options = orjson.OPT_NAIVE_UTC | orjson.OPT_UTC_Z
    content = orjson.dumps(value, option=options)
    return Response(content, status, media_type="application/json")
