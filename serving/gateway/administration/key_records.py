"""What is known of an API key, and what one can be asked to be."""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass
from typing import Final

from serving.gateway.api_keys import ALL, SCOPES
from serving.gateway.tenants import TenantError
from serving.ledger.records import MAX_INTEGER

MAX_NAME: Final = 100
MAX_MODELS: Final = 64
_MODEL: Final = re.compile("[!-~]+")


def _is_model(text: str) -> bool:
    return len(text) <= MAX_NAME and _MODEL.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class KeyWish:
    """What a key is to be.

    Attributes:
      name: for people; it may be empty, and need not be unique.
      models: those that it may ask; ``*`` among them for all.
      scopes: what it is for, of `serving.gateway.api_keys.SCOPES`; ``*`` for all.
      budget_micro: what it may spend in a month, in millionths, within its tenant's budget;
        None for no limit of its own.
      expires_at: UTC, without a zone; None: never.
    """

    name: str = ""
    models: tuple[str, ...] = (ALL,)
    scopes: tuple[str, ...] = (ALL,)
    budget_micro: int | None = None
    expires_at: datetime.datetime | None = None

    def __post_init__(self) -> None:
        """
        Raises:
          TenantError: a value is not valid.
        """
        if len(self.name) > MAX_NAME or not self.name.isprintable():
            raise TenantError(
                f"A key's name must be at most {MAX_NAME} characters that can be printed. "
                f"Received: {self.name[: MAX_NAME + 1]!r}"
            )
        wrong = [each for each in self.models if not _is_model(each)]
        if wrong or not 0 < len(self.models) <= MAX_MODELS:
            raise TenantError(
                f"A key is for 1 to {MAX_MODELS} models, each an ASCII name without spaces, or "
                f"* for all. Received: {(wrong or list(self.models))[:3]!r}"
            )
        unknown = [each for each in self.scopes if each not in (*SCOPES, ALL)]
        if unknown or not self.scopes:
            raise TenantError(
                f"A key's scopes are some of {', '.join(SCOPES)}, or * for all. Received: "
                f"{', '.join(unknown)[:100] or 'none'}"
            )
        budget = self.budget_micro
        if budget is not None and not 0 <= budget <= MAX_INTEGER:
            raise TenantError(
                f"budget_micro must be at least 0 and at most {MAX_INTEGER}. Received: {budget}"
            )


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """An API key, without its secret, which nobody has but its holder.

    Attributes:
      models, scopes: what it may ask, and what it is for; ``*`` among them for all.
      budget_micro: of a month, in millionths; None for none of its own.
      created_at, expires_at, suspended_at, revoked_at: UTC; None where it does not expire, is
        not suspended, or is not revoked.
      last_used_at: UTC; None if it never was. It is written some seconds after the use.
      previous_until: until when the secret before the last rotation is accepted, UTC; None if
        there was none.
    """

    key_id: str
    tenant: str
    name: str
    models: tuple[str, ...]
    scopes: tuple[str, ...]
    budget_micro: int | None
    created_at: datetime.datetime
    expires_at: datetime.datetime | None
    suspended_at: datetime.datetime | None
    revoked_at: datetime.datetime | None
    last_used_at: datetime.datetime | None
    previous_until: datetime.datetime | None

    def state(self, now: datetime.datetime) -> str:
        """``active``, ``expired``, ``suspended`` or ``revoked``.

        Args:
          now: UTC.
        """
        if self.revoked_at is not None:
            return "revoked"
        if self.expires_at is not None and self.expires_at <= now:
            return "expired"
        return "active" if self.suspended_at is None else "suspended"


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key and its secret, which is told once.

    Attributes:
      key: what the client sends.
    """

    key: str
    record: KeyRecord
