"""Routes of the admin API about tenants and their keys."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from serving.gateway import administration
from serving.gateway.admin import queries
from serving.gateway.admin.access import Access, json_response
from serving.gateway.admin.rendering import key_of, tenant_of
from serving.gateway.admin.schemas import (
    KeyToChange,
    KeyToCreate,
    LimitsSchema,
    Nothing,
    Rotation,
    TenantChange,
    TenantToCreate,
)
from serving.gateway.administration import KeyWish
from serving.gateway.http.parse import read_body
from serving.gateway.tenants import Limits


class TenantRoutes:
    """Tenants and keys."""

    def __init__(self, access: Access) -> None:
        self._access = access

    async def list_tenants(self, request: Request) -> Response:
        """A page of tenants."""
        self._access.administrator(request)
        month, most = queries.month(request), queries.limit(request)
        after = queries.text(request, "after")
        # One more than is shown tells whether there are more.
        found = await self._access.do(
            administration.list_tenants, self._access.admin.engine, month, after, most + 1
        )
        more = len(found) > most
        page = {
            "tenants": [tenant_of(each) for each in found[:most]],
            "next": found[most - 1].name if more else None,
        }
        return json_response(page)

    async def create_tenant(self, request: Request) -> Response:
        """A new tenant."""
        by = self._access.administrator(request)
        _, body = await read_body(request, TenantToCreate)
        limits = Limits(**body.limits.model_dump())
        made = await self._access.do(
            administration.create_tenant, by, body.name, body.plan, limits
        )
        return json_response(tenant_of(made), 201)

    async def read_tenant(self, request: Request) -> Response:
        """A tenant."""
        self._access.administrator(request)
        return json_response(await self._access.tenant(request))

    async def change_tenant(self, request: Request) -> Response:
        """Another plan, other limits."""
        by = self._access.administrator(request)
        _, body = await read_body(request, TenantChange)
        limits = _given(body.limits)
        name = request.path_params["tenant"]
        await self._access.do(administration.change_tenant, by, name, body.plan, limits)
        return json_response(await self._access.tenant(request))

    async def list_keys(self, request: Request) -> Response:
        """A tenant's keys."""
        self._access.administrator(request)
        tenant = await self._access.tenant(request)
        return json_response({"keys": tenant["keys"]})

    async def create_key(self, request: Request) -> Response:
        """A new key, and its secret, once."""
        by = self._access.administrator(request)
        _, body = await read_body(request, KeyToCreate)

        def make() -> administration.NewKey:
            wish = KeyWish(**_as_wish(body.model_dump()))
            return administration.make_key(by, request.path_params["tenant"], wish)

        new = await self._access.do(make)
        return json_response({"key": new.key, "record": key_of(new.record)}, 201)

    async def read_key(self, request: Request) -> Response:
        """A key."""
        self._access.administrator(request)
        key_id = request.path_params["key_id"]
        record = await self._access.do(
            administration.read_key, self._access.admin.engine, key_id
        )
        return json_response(key_of(record))

    async def change_key(self, request: Request) -> Response:
        """Another name, scope, budget or end; suspended, or resumed."""
        by = self._access.administrator(request)
        _, body = await read_body(request, KeyToChange)
        change = _as_wish(_given(body))
        key_id = request.path_params["key_id"]
        return json_response(
            key_of(await self._access.do(administration.change_key, by, key_id, change))
        )

    async def rotate_key(self, request: Request) -> Response:
        """A new secret for a key."""
        by = self._access.administrator(request)
        _, body = await read_body(request, Rotation)
        overlap = timedelta(seconds=body.overlap_s)
        key_id = request.path_params["key_id"]
        new = await self._access.do(administration.rotate_key, by, key_id, overlap)
        return json_response({"key": new.key, "record": key_of(new.record)}, 201)

    async def revoke_key(self, request: Request) -> Response:
        """The end of a key."""
        by = self._access.administrator(request)
        await read_body(request, Nothing)
        key_id = request.path_params["key_id"]
        return json_response(
            key_of(await self._access.do(administration.revoke_key, by, key_id))
        )


def _given(body: LimitsSchema | KeyToChange) -> dict[str, Any]:
    """Fields that a client has sent."""
    return {name: getattr(body, name) for name in body.model_fields_set}


def _as_wish(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in values.items()
    }
