"""Tenants and their API keys."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Final

import sqlalchemy as sa

from serving.ledger import schema
from serving.ledger.chains import add_chain
from serving.ledger.clock import Clock, utc_now
from serving.ledger.database import reading, writing
from serving.ledger.records import MAX_INTEGER

ALL_MODELS: Final = "*"
CACHED_FOR_S: Final = 1.0
"""How long a valid key is accepted without reading it again, with its tenant's limits. A key
that another process revokes is refused after so long at the latest; what this one revokes, at
once."""
_MAX_CACHED: Final = 10_000
_PREFIX: Final = "tg"
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
_KEY: Final = re.compile(rf"{_PREFIX}_([0-9a-f]{{16}})_([A-Za-z0-9_-]{{43}})")


class TenantError(ValueError):
    """A tenant or key that cannot be made or found; the message says why."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a tenant may do; None for no limit.

    Attributes:
      budget_micro: to spend in a month, in millionths.
      requests_per_minute, tokens_per_minute: in any 60 s.
      max_concurrent: requests under way at a time.
    """

    budget_micro: int | None = None
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    max_concurrent: int | None = None

    def __post_init__(self) -> None:
        """
        Raises:
          TenantError: a limit is negative, or, but for the budget, 0.
        """
        for each in fields(self):
            value = getattr(self, each.name)
            least = 0 if each.name == "budget_micro" else 1
            if value is not None and not least <= value <= MAX_INTEGER:
                raise TenantError(f"{each.name} must be at least {least}. Received: {value}")


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever a key belongs to.

    Attributes:
      models: those that the key may ask; ``*`` among them for all.
    """

    tenant: str
    key_id: str
    plan: str
    limits: Limits
    models: frozenset[str]

    def may_ask(self, model: str) -> bool:
        return ALL_MODELS in self.models or model in self.models


NO_LIMITS: Final = Limits()


class Tenants:
    """The tenants of a ledger's database."""

    def __init__(
        self,
        engine: sa.Engine,
        clock: Clock = utc_now,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Args:
          clock: UTC.
          timer: seconds, for how long keys are cached.
        """
        self._engine = engine
        self._clock = clock
        self._timer = timer
        # By the hash of the whole key, the oldest first: when each was read.
        self._cached: dict[str, tuple[float, Caller]] = {}

    def create(self, name: str, plan: str, limits: Limits = NO_LIMITS) -> None:
        """Add a tenant.

        Args:
          plan: of the price book.

        Raises:
          TenantError: the name is taken or not valid.
        """
        for value in (name, plan):
            checked_name(value)
        try:
            with writing(self._engine) as connection:
                connection.execute(
                    schema.tenants.insert().values(
                        name=name,
                        plan=plan,
                        created_at=self._clock(),
                        **asdict(limits),
                    )
                )
                add_chain(connection, name)
        except sa.exc.IntegrityError:
            raise TenantError(f"A tenant {name!r} already exists.") from None

    def make_key(self, tenant: str, models: Sequence[str] = (ALL_MODELS,)) -> str:
        """Make a key; it is returned here and never again.

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
        """Refuse a key from now on; harmless where it is revoked already. Other processes
        refuse it within `CACHED_FOR_S`.

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
        for known, (_, caller) in list(self._cached.items()):
            if caller.key_id == key_id:
                self._cached.pop(known, None)

    def cached(self, key: str) -> Caller | None:
        """Whose key it was a moment ago; None where it must be read. Waits for nothing."""
        read_at, caller = self._cached.get(_hash(key), (float("-inf"), None))
        return caller if self._timer() < read_at + CACHED_FOR_S else None

    def authenticate(self, key: str) -> Caller | None:
        """Whose key it is; None where it is nobody's or revoked. Reads the database."""
        read_at = self._timer()
        caller = self._read(key)
        if caller is not None:
            # Taken out first, so that it comes last again.
            self._cached.pop(_hash(key), None)
            self._cached[_hash(key)] = read_at, caller
            while len(self._cached) > _MAX_CACHED:
                self._cached.pop(next(iter(self._cached)), None)
        return caller

    def _read(self, key: str) -> Caller | None:
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
            row.tenant,
            key_id,
            row.plan,
            Limits(*(getattr(row, each.name) for each in fields(Limits))),
            frozenset(row.models.split()),
        )


def checked_name(name: str) -> str:
    """The name of a tenant or plan.

    Raises:
      TenantError: it is not valid.
    """
    if not _NAME.fullmatch(name):
        raise TenantError(
            "A tenant's name must be at most 63 letters, digits, '_', '.' and '-', and "
            f"begin with a letter or digit. Received: {name!r}"
        )
    return name


def contains_key(text: str) -> bool:
    """Whether a text has what looks like a key in it, which must not be written down."""
    return _KEY.search(text) is not None


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
