"""API keys: made, changed, rotated, suspended and revoked."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, replace
from typing import Any, Final

import sqlalchemy as sa

from serving.gateway.administration.administrator import Administrator
from serving.gateway.administration.key_records import KeyRecord, KeyWish, NewKey
from serving.gateway.api_keys import new_key_id, new_secret, whole_key
from serving.gateway.tenants import (
    NoSuchTenantError,
    TenantError,
    hash_of,
    is_name,
    no_tenant,
)
from serving.ledger import admin_sql
from serving.ledger.database import reading, writing

MAX_OVERLAP: Final = datetime.timedelta(days=366)


KeyChange = Mapping[str, Any]
"""Fields of a `KeyWish` that change, by their names, and ``suspended``: true or false."""

NO_WISH: Final = KeyWish()
_CHANGEABLE: Final = frozenset({each.name for each in fields(KeyWish)} | {"suspended"})


def make_key(by: Administrator, tenant: str, wish: KeyWish = NO_WISH) -> NewKey:
    """Make a key; its secret is returned here and never again.

    Raises:
      NoSuchTenantError: there is no such tenant.
      TenantError: it would have expired already.
    """
    now = by.clock()
    _check_expiry(wish.expires_at, now)
    if not is_name(tenant):
        raise no_tenant(tenant)
    key_id, secret = new_key_id(), new_secret()
    values = {**asdict(wish), "models": " ".join(wish.models), "scopes": " ".join(wish.scopes)}
    try:
        with writing(by.engine) as connection:
            connection.execute(
                admin_sql.ADD_KEY,
                {
                    "key_id": key_id,
                    "tenant": tenant,
                    "secret_hash": hash_of(secret),
                    "created_at": now,
                    **values,
                },
            )
            record = _read(connection, key_id)
            by.record(connection, "key.create", tenant, key_id, after=_told(record))
    except sa.exc.IntegrityError:
        raise no_tenant(tenant) from None
    return NewKey(whole_key(key_id, secret), record)


def list_keys(engine: sa.Engine, tenant: str) -> tuple[KeyRecord, ...]:
    """A tenant's keys, the oldest first; none where there is no such tenant."""
    with reading(engine) as connection:
        return keys_of(connection, [tenant]).get(tenant, ()) if is_name(tenant) else ()


def read_key(engine: sa.Engine, key_id: str) -> KeyRecord:
    """A key.

    Raises:
      NoSuchTenantError: there is none of this id.
    """
    with reading(engine) as connection:
        return _read(connection, key_id)


def change_key(by: Administrator, key_id: str, change: KeyChange) -> KeyRecord:
    """Change what a key is, or suspend or resume it. Other processes go by it within
    `serving.gateway.tenants.CACHED_FOR_S`.

    Raises:
      NoSuchTenantError: there is no such key.
      TenantError: a value is not valid, or the key is revoked.
    """
    if unknown := sorted(change.keys() - _CHANGEABLE):
        raise TenantError(
            f"A key has no {unknown[0][:100]!r} to change. Expected: some of "
            f"{', '.join(sorted(_CHANGEABLE))}."
        )
    now = by.clock()
    if "expires_at" in change:
        _check_expiry(change["expires_at"], now)

    def changed(record: KeyRecord) -> KeyRecord:
        _check_not_revoked(record)
        new = {name: value for name, value in change.items() if name != "suspended"}
        wish = KeyWish(**{each.name: getattr(record, each.name) for each in fields(KeyWish)})
        values = {name: getattr(replace(wish, **new), name) for name in new}
        if "suspended" in change:
            values["suspended_at"] = (
                (record.suspended_at or now) if change["suspended"] else None
            )
        return replace(record, **values)

    return _changed(by, key_id, "key.change", changed)


def revoke_key(by: Administrator, key_id: str) -> KeyRecord:
    """Refuse a key from now on; harmless where it is revoked already. It cannot be undone.

    Raises:
      NoSuchTenantError: there is no such key.
    """
    now = by.clock()

    def revoked(record: KeyRecord) -> KeyRecord:
        return replace(record, revoked_at=record.revoked_at or now)

    return _changed(by, key_id, "key.revoke", revoked)


def rotate_key(by: Administrator, key_id: str, overlap: datetime.timedelta) -> NewKey:
    """Give a key a new secret. Its id, budget and all else stay; the secret before is accepted
    for a while, one from before that no longer.

    Args:
      overlap: for how long.

    Raises:
      NoSuchTenantError: there is no such key.
      TenantError: it is revoked, or the time is negative or too long.
    """
    if not datetime.timedelta() <= overlap <= MAX_OVERLAP:
        raise TenantError(
            f"The secret before is accepted for 0 to {MAX_OVERLAP.days} days. Received: "
            f"{overlap}"
        )
    secret, until = new_secret(), by.clock() + overlap
    with writing(by.engine) as connection:
        before = _locked(connection, key_id)
        _check_not_revoked(before)
        connection.execute(
            admin_sql.ROTATE_KEY,
            {"key_id": key_id, "secret_hash": hash_of(secret), "previous_until": until},
        )
        record = _read(connection, key_id)
        by.record(connection, "key.rotate", record.tenant, key_id, _told(before), _told(record))
    by.forget(record.tenant)
    return NewKey(whole_key(key_id, secret), record)


def keys_of(
    connection: sa.Connection, tenants: Sequence[str]
) -> dict[str, tuple[KeyRecord, ...]]:
    """Keys of some tenants, by the tenant, the oldest first."""
    found: dict[str, tuple[KeyRecord, ...]] = {}
    if tenants:
        for row in connection.execute(admin_sql.KEYS, {"tenants": list(tenants)}):
            found[row.tenant] = (*found.get(row.tenant, ()), _record(row))
    return found


def _changed(by: Administrator, key_id: str, action: str, change: Any) -> KeyRecord:
    """Write what becomes of a key, if it is something else than before."""
    with writing(by.engine) as connection:
        before = _locked(connection, key_id)
        after: KeyRecord = change(before)
        if after != before:
            connection.execute(
                admin_sql.CHANGE_KEY,
                {
                    **asdict(after),
                    "models": " ".join(after.models),
                    "scopes": " ".join(after.scopes),
                },
            )
            by.record(connection, action, after.tenant, key_id, _told(before), _told(after))
    by.forget(after.tenant)
    return after


def _locked(connection: sa.Connection, key_id: str) -> KeyRecord:
    if _is_id(key_id):
        connection.execute(admin_sql.LOCK_KEY, {"key_id": key_id})
    return _read(connection, key_id)


def _read(connection: sa.Connection, key_id: str) -> KeyRecord:
    row = None
    if _is_id(key_id):
        row = connection.execute(admin_sql.KEY, {"key_id": key_id}).one_or_none()
    if row is None:
        raise NoSuchTenantError(f"There is no key {key_id[:100]!r}.")
    return _record(row)


def _record(row: Any) -> KeyRecord:
    values = {each.name: getattr(row, each.name) for each in fields(KeyRecord)}
    return KeyRecord(
        **values | {"models": tuple(row.models.split()), "scopes": tuple(row.scopes.split())}
    )


def _told(record: KeyRecord) -> dict[str, Any]:
    """What the audit log says of a key."""
    told = {**asdict(record), "models": list(record.models), "scopes": list(record.scopes)}
    return {k: v for k, v in told.items() if k not in ("key_id", "tenant", "last_used_at")}


def _check_expiry(expires_at: datetime.datetime | None, now: datetime.datetime) -> None:
    if expires_at is not None and expires_at <= now:
        raise TenantError(
            f"A key must expire in the future. Received: {expires_at.isoformat()}Z. To end it "
            "now, suspend or revoke it."
        )


def _check_not_revoked(record: KeyRecord) -> None:
    if record.revoked_at is not None:
        raise TenantError(
            f"The key {record.key_id} is revoked, which cannot be undone. Make a new one."
        )


def _is_id(text: str) -> bool:
    """Whether it can be asked for at all."""
    return text.isascii() and text.isalnum() and len(text) <= 32
