"""What an administrator sees of tenants, and changes."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace

import sqlalchemy as sa

from serving.gateway.tenants import Limits, TenantError, checked_name
from serving.ledger import schema
from serving.ledger.database import reading, writing


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """An API key, without its secret, which nobody has but its holder.

    Attributes:
      models: those that it may ask; ``*`` among them for all.
      created_at, revoked_at: UTC; the second is None while the key is good.
    """

    key_id: str
    models: tuple[str, ...]
    created_at: datetime.datetime
    revoked_at: datetime.datetime | None


@dataclass(frozen=True, slots=True)
class TenantRecord:
    """A tenant.

    Attributes:
      spent_micro, reserved_micro: of the month, in millionths.
      keys: the oldest first.
    """

    name: str
    plan: str
    limits: Limits
    created_at: datetime.datetime
    spent_micro: int
    reserved_micro: int
    keys: tuple[KeyRecord, ...]


def list_tenants(
    engine: sa.Engine, month: str, after: str = "", limit: int | None = None
) -> list[TenantRecord]:
    """Tenants, in the database's order of their names.

    Args:
      month: whose money is told, such as 2026-11.
      after: only tenants that come after this name; empty: from the first one on.
      limit: so many at most; None for all.
    """
    tenants, accounts, keys = schema.tenants, schema.accounts, schema.api_keys
    page = sa.select(tenants.c.name).order_by(tenants.c.name).limit(limit)
    if after:
        page = page.where(tenants.c.name > after)
    names = page.subquery()
    with reading(engine) as connection:
        rows = connection.execute(
            sa.select(tenants, accounts.c.spent_micro, accounts.c.reserved_micro)
            .outerjoin(
                accounts,
                sa.and_(accounts.c.tenant == tenants.c.name, accounts.c.month == month),
            )
            .where(tenants.c.name.in_(sa.select(names.c.name)))
            .order_by(tenants.c.name)
        ).all()
        keys_of: dict[str, list[KeyRecord]] = {row.name: [] for row in rows}
        for key in connection.execute(
            sa.select(keys)
            .where(keys.c.tenant.in_(sa.select(names.c.name)))
            .order_by(keys.c.created_at, keys.c.key_id)
        ):
            if key.tenant in keys_of:  # else it is newer than the rows
                keys_of[key.tenant].append(
                    KeyRecord(
                        key.key_id, tuple(key.models.split()), key.created_at, key.revoked_at
                    )
                )
    return [
        TenantRecord(
            name=row.name,
            plan=row.plan,
            limits=_limits(row),
            created_at=row.created_at,
            spent_micro=row.spent_micro or 0,
            reserved_micro=row.reserved_micro or 0,
            keys=tuple(keys_of[row.name]),
        )
        for row in rows
    ]


def change_tenant(
    engine: sa.Engine, name: str, plan: str | None, limits: Mapping[str, int | None]
) -> tuple[str, Limits]:
    """Change a tenant's plan or limits. Running gateways go by it within
    `serving.gateway.tenants.CACHED_FOR_S`; what is under way ends by the old ones.

    Args:
      plan: None leaves it.
      limits: those to change, by the names of `Limits`; None takes one away.

    Returns:
      The plan and the limits that hold from now on.

    Raises:
      TenantError: there is no such tenant, or a value is none.
    """
    if plan is not None:
        checked_name(plan)
    of_tenant = schema.tenants.c.name == name
    with writing(engine) as connection:
        row = connection.execute(
            sa.select(schema.tenants).where(of_tenant).with_for_update()
        ).one_or_none()
        if row is None:
            raise TenantError(f"There is no tenant {name!r}. Create it first.")
        changed = replace(_limits(row), **limits)
        plan = plan if plan is not None else row.plan
        connection.execute(
            schema.tenants.update().where(of_tenant).values(plan=plan, **asdict(changed))
        )
    return plan, changed


def _limits(row: sa.Row[tuple[object, ...]]) -> Limits:
    return Limits(*(getattr(row, each.name) for each in fields(Limits)))
