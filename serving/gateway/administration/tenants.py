"""Tenants: created, listed, changed, and their texts erased."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import sqlalchemy as sa

from serving.gateway.administration.administrator import Administrator
from serving.gateway.administration.key_records import KeyRecord
from serving.gateway.administration.keys import keys_of
from serving.gateway.tenants import (
    NO_LIMITS,
    Limits,
    TenantError,
    TenantExistsError,
    checked_name,
    is_name,
    no_tenant,
)
from serving.ledger import admin_sql
from serving.ledger.budgets import set_alerts
from serving.ledger.chains import add_chain
from serving.ledger.database import reading, writing
from serving.ledger.erasure import Erased, erase_tenant
from serving.ledger.records import MAX_INTEGER


@dataclass(frozen=True, slots=True)
class TenantRecord:
    """A tenant.

    Attributes:
      created_at: UTC.
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


def create_tenant(
    by: Administrator, name: str, plan: str, limits: Limits = NO_LIMITS
) -> TenantRecord:
    """Add a tenant, without a key.

    Args:
      plan: of the price book.

    Raises:
      TenantExistsError: the name is taken.
      TenantError: the name or the plan is not valid.
    """
    for value in (name, plan):
        checked_name(value)
    by.check_plan(plan)
    created_at = by.clock()
    state = {"plan": plan, **asdict(limits)}
    try:
        with writing(by.engine) as connection:
            connection.execute(
                admin_sql.ADD_TENANT, {"name": name, "created_at": created_at, **state}
            )
            add_chain(connection, name)
            by.record(connection, "tenant.create", name, name, after=state)
    except sa.exc.IntegrityError:
        raise TenantExistsError(f"A tenant {name!r} already exists.") from None
    return TenantRecord(name, plan, limits, created_at, 0, 0, ())


def list_tenants(
    engine: sa.Engine, month: str, after: str = "", limit: int | None = None
) -> list[TenantRecord]:
    """Tenants, in the database's order of their names.

    Args:
      month: whose money is told, such as 2026-11.
      after: only tenants that come after this name; empty: from the first one on.
      limit: so many at most; None for all.
    """
    values = {"month": month, "after": after, "most": MAX_INTEGER if limit is None else limit}
    with reading(engine) as connection:
        rows = connection.execute(admin_sql.TENANTS, values).all()
        keys = keys_of(connection, [row.name for row in rows])
    return [_record(row, keys.get(row.name, ())) for row in rows]


def read_tenant(engine: sa.Engine, name: str, month: str) -> TenantRecord:
    """A tenant.

    Args:
      month: whose money is told, such as 2026-11.

    Raises:
      NoSuchTenantError: there is none of this name.
    """
    if not is_name(name):
        raise no_tenant(name)
    with reading(engine) as connection:
        row = connection.execute(admin_sql.TENANT, {"name": name, "month": month}).one_or_none()
        if row is None:
            raise no_tenant(name)
        return _record(row, keys_of(connection, [name]).get(name, ()))


def change_tenant(
    by: Administrator, name: str, plan: str | None, limits: Mapping[str, int | None]
) -> tuple[str, Limits]:
    """Change a tenant's plan or limits. Running gateways go by it within
    `serving.gateway.tenants.CACHED_FOR_S`; what is under way ends by the old ones.

    Args:
      plan: None leaves it.
      limits: those to change, by the names of `Limits`; None takes one away.

    Returns:
      The plan and the limits that hold from now on.

    Raises:
      NoSuchTenantError: there is no such tenant.
      TenantError: a value is not valid, or the price book has no such plan.
    """
    if not is_name(name):
        raise no_tenant(name)
    if plan is not None:
        checked_name(plan)
        by.check_plan(plan)
    if unknown := sorted(limits.keys() - {each.name for each in fields(Limits)}):
        raise TenantError(f"There is no limit {unknown[0][:100]!r}.")
    with writing(by.engine) as connection:
        if not connection.execute(admin_sql.LOCK_TENANT, {"name": name}).rowcount:
            raise no_tenant(name)
        row = connection.execute(admin_sql.TENANT, {"name": name, "month": ""}).one()
        before = _limits(row)
        after, plan = replace(before, **limits), plan if plan is not None else row.plan
        old, new = {"plan": row.plan, **asdict(before)}, {"plan": plan, **asdict(after)}
        if old != new:
            connection.execute(admin_sql.CHANGE_TENANT, {"name": name, **new})
            by.record(connection, "tenant.change", name, name, old, new)
    by.forget(name)
    return plan, after


def change_alerts(by: Administrator, name: str, shares: Sequence[int]) -> None:
    """Choose at which shares of its monthly budget an event is delivered, once a month each.

    Args:
      shares: in percent, from `serving.ledger.budgets.percents_from_text`; none for no alerts.

    Raises:
      NoSuchTenantError: there is no such tenant.
    """
    if not is_name(name):
        raise no_tenant(name)
    with writing(by.engine) as connection:
        if not connection.execute(admin_sql.LOCK_TENANT, {"name": name}).rowcount:
            raise no_tenant(name)
        before = set_alerts(connection, name, shares)
        if before != tuple(shares):
            old, new = {"percents": list(before)}, {"percents": list(shares)}
            by.record(connection, "tenant.alerts", name, name, old, new)


def erase(by: Administrator, name: str) -> Erased:
    """Erase a tenant's answers, idempotency keys and API keys; see
    `serving.ledger.erasure.erase_tenant`."""

    def record(connection: sa.Connection, erased: Erased) -> None:
        by.record(connection, "tenant.erase", name, name, after=asdict(erased))

    erased = erase_tenant(by.engine, name, record)
    by.forget(name)
    return erased


def _record(row: Any, keys: tuple[KeyRecord, ...]) -> TenantRecord:
    return TenantRecord(
        name=row.name,
        plan=row.plan,
        limits=_limits(row),
        created_at=row.created_at,
        spent_micro=row.spent_micro,
        reserved_micro=row.reserved_micro,
        keys=keys,
    )


def _limits(row: Any) -> Limits:
    return Limits(*(getattr(row, each.name) for each in fields(Limits)))
