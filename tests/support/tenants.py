"""Tenants and keys for tests, made as an administrator makes them."""

from __future__ import annotations

import sqlalchemy as sa

from serving.gateway.administration import (
    Administrator,
    KeyWish,
    create_tenant,
    make_key,
    revoke_key,
)
from serving.gateway.tenants import NO_LIMITS, Limits


def administrator(engine: sa.Engine) -> Administrator:
    return Administrator(engine, "a test")


def add_tenant(engine: sa.Engine, name: str = "acme", limits: Limits = NO_LIMITS) -> None:
    create_tenant(administrator(engine), name, "standard", limits)


def add_key(engine: sa.Engine, tenant: str = "acme", *models: str) -> str:
    """A key of a tenant.

    Args:
      models: that it may ask; none for all.
    """
    return make_key(administrator(engine), tenant, KeyWish(models=models or ("*",))).key


def revoke(engine: sa.Engine, key: str) -> None:
    revoke_key(administrator(engine), key.split("_")[1])
