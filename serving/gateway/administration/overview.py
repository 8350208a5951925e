"""What all tenants have used together, from sums that are kept: never from entries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from serving.ledger.database import reading

_COUNTS: Final = "requests, input_tokens, cached_tokens, output_tokens, amount_micro"
_SUMS: Final = ", ".join(f"sum({name}) AS {name}" for name in _COUNTS.split(", "))
_DAYS: Final = sa.text(
    f"SELECT day, {_SUMS} FROM daily_usage WHERE day >= :since GROUP BY day ORDER BY day"
)
_DAYS_OF_TENANT: Final = sa.text(
    f"SELECT day, {_SUMS} FROM daily_usage WHERE tenant = :tenant AND day >= :since "
    "GROUP BY day ORDER BY day"
)
_MONTH: Final = sa.text(
    "SELECT count(*), coalesce(sum(spent_micro), 0), coalesce(sum(reserved_micro), 0) "
    "FROM accounts WHERE month = :month"
)
_LARGEST: Final = sa.text(
    "SELECT a.tenant, a.spent_micro, t.budget_micro FROM accounts a "
    "JOIN tenants t ON t.name = a.tenant WHERE a.month = :month "
    "ORDER BY a.spent_micro DESC, a.tenant LIMIT :most"
)
_TENANTS: Final = sa.text("SELECT count(*) FROM tenants")


@dataclass(frozen=True, slots=True)
class Day:
    """A day's usage: charges less what was given back.

    Attributes:
      day: UTC, such as 2026-11-28.
      input_tokens, cached_tokens, output_tokens: ids; cached ones are among the input's.
      amount_micro: in millionths of the currency's unit.
    """

    day: str
    requests: int
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    amount_micro: int


@dataclass(frozen=True, slots=True)
class Spender:
    """What a tenant has spent of its budget in a month, in millionths; None: no budget."""

    tenant: str
    spent_micro: int
    budget_micro: int | None


@dataclass(frozen=True, slots=True)
class Overview:
    """All tenants together.

    Attributes:
      tenants: how many there are.
      active: of these, how many have an account in the month.
      spent_micro, reserved_micro: of the month, in millionths.
      days: those with usage, the oldest first.
      largest: who has spent most in the month, the first most.
    """

    tenants: int
    active: int
    spent_micro: int
    reserved_micro: int
    days: tuple[Day, ...]
    largest: tuple[Spender, ...]


def read_overview(engine: sa.Engine, month: str, since: str, largest: int = 10) -> Overview:
    """Read what all tenants have used.

    Args:
      month: whose money is told, such as 2026-11.
      since: the first day, such as 2026-11-01.
      largest: how many tenants are named.
    """
    with reading(engine) as connection:
        active, spent, reserved = connection.execute(_MONTH, {"month": month}).one()
        days = connection.execute(_DAYS, {"since": since}).all()
        most = connection.execute(_LARGEST, {"month": month, "most": largest}).all()
        tenants = connection.scalar(_TENANTS)
    return Overview(
        tenants=int(tenants or 0),
        active=int(active),
        spent_micro=int(spent),
        reserved_micro=int(reserved),
        days=tuple(Day(row[0], *map(int, row[1:])) for row in days),
        largest=tuple(Spender(*row) for row in most),
    )


def days_of_tenant(engine: sa.Engine, tenant: str, since: str) -> tuple[Day, ...]:
    """Days on which a tenant has used something, the oldest first.

    Args:
      since: the first day, such as 2026-11-01.
    """
    with reading(engine) as connection:
        rows = connection.execute(_DAYS_OF_TENANT, {"tenant": tenant, "since": since})
        return tuple(Day(row[0], *map(int, row[1:])) for row in rows)
