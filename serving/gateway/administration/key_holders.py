"""Whether whoever has signed in with an API key may stay: the key is as it was."""

from __future__ import annotations

import datetime
import hmac
from dataclasses import dataclass

import sqlalchemy as sa

from serving.gateway.api_keys import ALL, USAGE, parts_of
from serving.gateway.tenants import hash_of
from serving.ledger import admin_sql
from serving.ledger.database import reading


@dataclass(frozen=True, slots=True)
class KeyHolder:
    """Who has a tenant's key.

    Attributes:
      proof: hash of the hash of the key's secret, which says nothing of it.
    """

    tenant: str
    key_id: str
    proof: str


def key_holder(engine: sa.Engine, key: str, now: datetime.datetime) -> KeyHolder | None:
    """Who has a key; None where it may not read its tenant's usage now, or is none.

    Args:
      key: what a client sends.
      now: UTC.
    """
    parts = parts_of(key)
    if parts is None:
        return None
    key_id, secret = parts
    return _holder(engine, key_id, hash_of(hash_of(secret)), now)


def still_holds(engine: sa.Engine, holder: KeyHolder, now: datetime.datetime) -> bool:
    """Whether the key is still accepted: its secret is not another one, and it has not been
    revoked, has not expired and is not suspended."""
    return _holder(engine, holder.key_id, holder.proof, now) == holder


def _holder(
    engine: sa.Engine, key_id: str, proof: str, now: datetime.datetime
) -> KeyHolder | None:
    with reading(engine) as connection:
        row = connection.execute(admin_sql.CALLER, {"key_id": key_id}).one_or_none()
    if row is None or row.revoked_at or row.suspended_at:
        return None
    if row.expires_at and row.expires_at <= now:
        return None
    known = hmac.compare_digest(hash_of(row.secret_hash), proof)
    if not known and row.previous_hash and row.previous_until and now < row.previous_until:
        known = hmac.compare_digest(hash_of(row.previous_hash), proof)
    scopes = row.scopes.split()
    if not known or not (USAGE in scopes or ALL in scopes):
        return None
    return KeyHolder(row.tenant, key_id, proof)
