"""Statements about tenants, their API keys and the audit log, in plain SQL.

They are for administrators, and for reading whose a key is; those of a request's charge are in
`serving.ledger.sql`. Each is the same on SQLite and PostgreSQL. A row that is to be changed is
locked by an update that changes nothing: SQLite knows no ``SELECT … FOR UPDATE``.
"""

from __future__ import annotations

import re
from typing import Any, Final

import sqlalchemy as sa

from serving.ledger import sql

_TIMES: Final = (
    *("at", "created_at", "expires_at", "last_used_at", "previous_until"),
    *("revoked_at", "suspended_at"),
)
_PARAMETER: Final = re.compile(r"(?<!:):(\w+)")
_LIMITS: Final = "requests_per_minute, tokens_per_minute, max_concurrent"
_KEY: Final = (
    "key_id, tenant, name, models, scopes, budget_micro, created_at, expires_at, suspended_at, "
    "revoked_at, last_used_at, previous_until"
)


def _change(text: str) -> sa.TextClause:
    """A statement whose times are written as SQLAlchemy writes them on each database."""
    names = _PARAMETER.findall(text)
    times = [sa.bindparam(name, type_=sa.DateTime) for name in _TIMES if name in names]
    return sa.text(text).bindparams(*times)


def _query(text: str, *expanding: str) -> sa.TextualSelect:
    """A query whose times are read as such.

    Args:
      expanding: parameters that are lists.
    """
    clause = _change(text).bindparams(*(sa.bindparam(n, expanding=True) for n in expanding))
    times: dict[str, Any] = {
        name: sa.DateTime for name in _TIMES if re.search(rf"\b{name}\b", text)
    }
    return clause.columns(**times)


_TENANT: Final = (
    f"SELECT t.name, t.plan, t.budget_micro, t.created_at, {_LIMITS}, "
    "coalesce(a.spent_micro, 0) AS spent_micro, "
    "coalesce(a.reserved_micro, 0) AS reserved_micro "
    "FROM tenants t LEFT JOIN accounts a ON a.tenant = t.name AND a.month = :month "
)
ADD_TENANT: Final = _change(
    f"INSERT INTO tenants (name, plan, budget_micro, created_at, {_LIMITS}) VALUES "
    "(:name, :plan, :budget_micro, :created_at, "
    ":requests_per_minute, :tokens_per_minute, :max_concurrent)"
)
LOCK_TENANT: Final = _change("UPDATE tenants SET plan = plan WHERE name = :name")
TENANT: Final = _query(_TENANT + "WHERE t.name = :name")
TENANTS: Final = _query(_TENANT + "WHERE t.name > :after ORDER BY t.name LIMIT :most")
CHANGE_TENANT: Final = _change(
    "UPDATE tenants SET plan = :plan, budget_micro = :budget_micro, "
    "requests_per_minute = :requests_per_minute, tokens_per_minute = :tokens_per_minute, "
    "max_concurrent = :max_concurrent WHERE name = :name"
)

ADD_KEY: Final = _change(
    "INSERT INTO api_keys (key_id, tenant, secret_hash, name, models, scopes, budget_micro, "
    "created_at, expires_at) VALUES (:key_id, :tenant, :secret_hash, :name, :models, :scopes, "
    ":budget_micro, :created_at, :expires_at)"
)
LOCK_KEY: Final = _change("UPDATE api_keys SET name = name WHERE key_id = :key_id")
KEY: Final = _query(f"SELECT {_KEY} FROM api_keys WHERE key_id = :key_id")
KEYS: Final = _query(
    f"SELECT {_KEY} FROM api_keys WHERE tenant IN :tenants ORDER BY created_at, key_id",
    "tenants",
)
CHANGE_KEY: Final = _change(
    "UPDATE api_keys SET name = :name, models = :models, scopes = :scopes, "
    "budget_micro = :budget_micro, expires_at = :expires_at, suspended_at = :suspended_at, "
    "revoked_at = :revoked_at WHERE key_id = :key_id"
)
ROTATE_KEY: Final = _change(
    "UPDATE api_keys SET previous_hash = secret_hash, previous_until = :previous_until, "
    "secret_hash = :secret_hash WHERE key_id = :key_id"
)
KEY_USED: Final = _change(
    "UPDATE api_keys SET last_used_at = :last_used_at WHERE key_id = :key_id "
    "AND (last_used_at IS NULL OR last_used_at < :last_used_at)"
)
CALLER: Final = _query(
    "SELECT k.tenant, k.secret_hash, k.previous_hash, k.previous_until, k.models, k.scopes, "
    "k.budget_micro AS key_budget_micro, k.expires_at, k.suspended_at, k.revoked_at, "
    f"t.plan, t.budget_micro, {_LIMITS} FROM api_keys k "
    "JOIN tenants t ON t.name = k.tenant WHERE k.key_id = :key_id"
)

_AUDIT: Final = "at, actor, via, action, tenant, subject, before, after"
ADD_AUDIT: Final = _change(sql.ADD_AUDIT)
AUDIT: Final = _query(
    f"SELECT id, {_AUDIT} FROM audit_log WHERE id < :before_id ORDER BY id DESC LIMIT :most"
)
AUDIT_OF_TENANT: Final = _query(
    f"SELECT id, {_AUDIT} FROM audit_log WHERE tenant = :tenant AND id < :before_id "
    "ORDER BY id DESC LIMIT :most"
)
AUDIT_OF_CONFIRMATION: Final = _query(
    f"SELECT id, {_AUDIT} FROM audit_log WHERE confirmation = :confirmation"
)
