"""Tenants and their API keys."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from serving.ledger import schema
from serving.ledger.database import reading, writing
from serving.ledger.ledger import Clock, utc_now

ALL_MODELS: Final = "*"
_PREFIX: Final = "tg"
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
_KEY: Final = re.compile(rf"{_PREFIX}_([0-9a-f]{{16}})_([A-Za-z0-9_-]{{43}})")


class TenantError(ValueError):
    """A tenant or key that cannot be made or found; the message says why."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever a key belongs to.

    Attributes:
      budget_micro: what the tenant may spend in a month, in millionths; None for no limit.
      models: those that the key may ask; ``*`` among them for all.
    """

    tenant: str
    key_id: str
    plan: str
    budget_micro: int | None
    models: frozenset[str]

    def may_ask(self, model: str) -> bool:
        return ALL_MODELS in self.models or model in self.models


class Tenants:
    """The tenants of a ledger's database."""

    def __init__(self, engine: sa.Engine, clock: Clock = utc_now) -> None:
        self._engine = engine
        self._clock = clock

    def create(self, name: str, plan: str, budget_micro: int | None = None) -> None:
        """Add a tenant.

        Args:
          plan: of the price book.
          budget_micro: what it may spend in a month, in millionths; None for no limit.

        Raises:
          TenantError: the name is taken or no name, or the budget is negative.
        """
        for value in (name, plan):
            if not _NAME.fullmatch(value):
                raise TenantError(
                    "A name is at most 63 letters, digits, '_', '.' and '-', the first a "
                    f"letter or digit. Received: {value!r}"
                )
        if budget_micro is not None and budget_micro < 0:
            raise TenantError(f"A budget must be at least 0. Received: {budget_micro}")
        try:
            with writing(self._engine) as connection:
                connection.execute(
                    schema.tenants.insert().values(
                        name=name,
                        plan=plan,
                        budget_micro=budget_micro,
                        created_at=self._clock(),
                    )
                )
        except sa.exc.IntegrityError:
            raise TenantError(f"There is a tenant {name!r} already.") from None

    def make_key(self, tenant: str, models: Sequence[str] = (ALL_MODELS,)) -> str:
        """Make a key; it is told here and never again.

        Args:
          models: those that it may ask.

        Raises:
          TenantError: there is no such tenant.
        """
        key_id, secret = secrets.token_hex(8), secrets.token_urlsafe(32)
        try:
            with writing(self._engine) as connection:
                connection.execute(
                    schema.api_keys.insert().values(
                        key_id=key_id,
                        tenant=tenant,
                        secret_hash=_hash(secret),
                        models=" ".join(models),
                        created_at=self._clock(),
                    )
                )
        except sa.exc.IntegrityError:
            raise TenantError(f"There is no tenant {tenant!r}. Create it first.") from None
        return f"{_PREFIX}_{key_id}_{secret}"

    def revoke_key(self, key_id: str) -> None:
        """Refuse a key from now on; harmless where it is revoked already.

        Args:
          key_id: the part between the key's underscores.

        Raises:
          TenantError: there is no such key.
        """
        keys = schema.api_keys
        with writing(self._engine) as connection:
            if not connection.execute(
                keys.update()
                .where(keys.c.key_id == key_id)
                .values(revoked_at=sa.func.coalesce(keys.c.revoked_at, self._clock()))
            ).rowcount:
                raise TenantError(f"There is no key {key_id!r}.")

    def authenticate(self, key: str) -> Caller | None:
        """Whose a key is; None where it is nobody's or revoked."""
        match = _KEY.fullmatch(key)
        if match is None:
            return None
        key_id, secret = match.groups()
        with reading(self._engine) as connection:
            row = connection.execute(
                sa.select(schema.api_keys, schema.tenants)
                .join(schema.tenants, schema.tenants.c.name == schema.api_keys.c.tenant)
                .where(schema.api_keys.c.key_id == key_id)
            ).one_or_none()
        # The secret is 256 random bits: a fast hash is as good as a slow one.
        expected = row.secret_hash if row else _hash("")
        if not hmac.compare_digest(expected, _hash(secret)) or row is None or row.revoked_at:
            return None
        return Caller(
            row.tenant, key_id, row.plan, row.budget_micro, frozenset(row.models.split())
        )


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
