"""Whose an API key is, and what it may do; `serving.gateway.administration` changes it."""

from __future__ import annotations

import datetime
import hashlib
import hmac
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, Final

import sqlalchemy as sa

from serving.gateway.api_keys import ALL, parts_of
from serving.ledger import admin_sql
from serving.ledger.clock import Clock, utc_now
from serving.ledger.database import reading, writing
from serving.ledger.records import MAX_INTEGER

CACHED_FOR_S: Final = 1.0
"""How long a valid key is accepted without reading it again, with its tenant's limits. A key
that another process changes is refused after so long at the latest; what this one changes, at
once, and one that expires, when it does."""
_MAX_CACHED: Final = 10_000
_MAX_RATE: Final = 2**31 - 1
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")


class TenantError(ValueError):
    """A tenant or key that cannot be made, found or changed; the message says why."""


class NoSuchTenantError(TenantError):
    """There is no such tenant, or no such key."""


class TenantExistsError(TenantError):
    """The name is taken."""


class KeyRefusedError(Exception):
    """A key that is known, and may not be used now; the message says why.

    Attributes:
      code: ``api_key_expired`` or ``api_key_suspended``.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


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
          TenantError: a limit is negative, or, but for the budget, 0; or larger than is kept.
        """
        for each in fields(self):
            value = getattr(self, each.name)
            budget = each.name == "budget_micro"
            least, most = (0, MAX_INTEGER) if budget else (1, _MAX_RATE)
            if value is not None and not least <= value <= most:
                raise TenantError(
                    f"{each.name} must be at least {least} and at most {most}. Received: "
                    f"{value}"
                )


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever a key belongs to.

    Attributes:
      models: those that the key may ask; ``*`` among them for all.
      scopes: what the key is for, see `serving.gateway.api_keys.SCOPES`; ``*`` for all.
      key_budget_micro: what the key may spend in a month, in millionths; None for no limit.
    """

    tenant: str
    key_id: str
    plan: str
    limits: Limits
    models: frozenset[str]
    scopes: frozenset[str] = frozenset({ALL})
    key_budget_micro: int | None = None

    def may_ask(self, model: str) -> bool:
        return ALL in self.models or model in self.models

    def may_use(self, scope: str) -> bool:
        return ALL in self.scopes or scope in self.scopes


NO_LIMITS: Final = Limits()


class Tenants:
    """The tenants of a ledger's database, as requests come from them."""

    def __init__(
        self,
        engine: sa.Engine,
        clock: Clock = utc_now,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Args:
          clock: UTC; when keys expire and were used.
          timer: seconds, for how long keys are cached.
        """
        self._engine = engine
        self._clock = clock
        self._timer = timer
        # By the hash of the whole key, the oldest first: until when each holds.
        self._cached: dict[str, tuple[float, Caller]] = {}
        # When keys were used last, as far as it is not written: one write for many requests.
        self._used: dict[str, datetime.datetime] = {}

    def cached(self, key: str) -> Caller | None:
        """Whose key it was a moment ago; None where it must be read. Waits for nothing."""
        until, caller = self._cached.get(hash_of(key), (float("-inf"), None))
        if caller is None or self._timer() >= until:
            return None
        self._used[caller.key_id] = self._clock()
        return caller

    def authenticate(self, key: str) -> Caller | None:
        """Whose key it is; None where it is nobody's or revoked. Reads the database.

        Raises:
          KeyRefusedError: it has expired or is suspended.
        """
        read_at, now = self._timer(), self._clock()
        found = self._read(key, now)
        if found is None:
            return None
        caller, end = found
        self._used[caller.key_id] = now
        holds_for_s = CACHED_FOR_S
        if end is not None:
            holds_for_s = min(holds_for_s, (end - now).total_seconds())
        # Taken out first, so that it comes last again.
        self._cached.pop(hash_of(key), None)
        self._cached[hash_of(key)] = read_at + holds_for_s, caller
        while len(self._cached) > _MAX_CACHED:
            self._cached.pop(next(iter(self._cached)), None)
        return caller

    def forget(self, tenant: str) -> None:
        """Read a tenant's keys again when they are used next: they have changed."""
        for known, (_, caller) in list(self._cached.items()):
            if caller.tenant == tenant:
                self._cached.pop(known, None)

    def write_last_use(self) -> None:
        """Write when keys were used last, in one transaction for all since the last time.

        Raises:
          sqlalchemy.exc.SQLAlchemyError: it cannot be written now, and is kept for next time.
        """
        used, self._used = self._used, {}
        if not used:
            return
        # In order: gateways that write the same keys do not wait for each other in a circle.
        rows = [{"key_id": each, "last_used_at": used[each]} for each in sorted(used)]
        try:
            with writing(self._engine) as connection:
                connection.execute(admin_sql.KEY_USED, rows)
        except sa.exc.SQLAlchemyError:
            self._used = used | self._used
            raise

    def _read(
        self, key: str, now: datetime.datetime
    ) -> tuple[Caller, datetime.datetime | None] | None:
        """Whose key it is, and when it ends, if it does."""
        parts = parts_of(key)
        if parts is None:
            return None
        key_id, secret = parts
        with reading(self._engine) as connection:
            row = connection.execute(admin_sql.CALLER, {"key_id": key_id}).one_or_none()
        end = _end_of(row, hash_of(secret), now)
        if row is None or row.revoked_at or end is _WRONG:
            return None
        if row.expires_at and row.expires_at <= now:
            raise KeyRefusedError(
                "api_key_expired",
                f"The API key {key_id} expired at {row.expires_at:%Y-%m-%d %H:%M:%S} UTC. Use "
                "another key of the tenant, or have this one's expiry changed.",
            )
        if row.suspended_at:
            raise KeyRefusedError(
                "api_key_suspended",
                f"The API key {key_id} is suspended. Whoever runs the gateway can resume it.",
            )
        caller = Caller(
            row.tenant,
            key_id,
            row.plan,
            Limits(*(getattr(row, each.name) for each in fields(Limits))),
            frozenset(row.models.split()),
            frozenset(row.scopes.split()),
            row.key_budget_micro,
        )
        ends = [each for each in (row.expires_at, end) if each is not None]
        return caller, min(ends, default=None)


_WRONG: Final = datetime.datetime.min
"""End of a secret that is not the key's."""


def _end_of(row: Any, secret_hash: str, now: datetime.datetime) -> datetime.datetime | None:
    """Until when a secret is the key's: the present one has no end, the one before it has."""
    present = row.secret_hash if row else hash_of("")
    before = (row.previous_hash if row else None) or hash_of("")
    # Both are compared, whichever it is.
    is_present = hmac.compare_digest(present, secret_hash)
    is_before = hmac.compare_digest(before, secret_hash)
    if is_present:
        return None
    if is_before and row is not None and row.previous_until and now < row.previous_until:
        end: datetime.datetime = row.previous_until
        return end
    return _WRONG


def no_tenant(name: str) -> NoSuchTenantError:
    """What is said of a name that no tenant has."""
    return NoSuchTenantError(f"There is no tenant {name[:100]!r}. Create it first.")


def is_name(text: str) -> bool:
    """Whether a tenant, or a plan, can have it as its name."""
    return _NAME.fullmatch(text) is not None


def checked_name(name: str) -> str:
    """The name of a tenant or plan.

    Raises:
      TenantError: it is not valid.
    """
    if not is_name(name):
        raise TenantError(
            "The name of a tenant or plan must be at most 63 letters, digits, '_', '.' and "
            f"'-', and begin with a letter or digit. Received: {name[:100]!r}"
        )
    return name


def hash_of(secret: str) -> str:
    """What is stored of a secret. Its bits are random: a fast hash is as good as a slow one."""
    return hashlib.sha256(secret.encode()).hexdigest()
