"""What a tenant has used in a month, from sums that are kept: as quick after a million entries
as after one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from serving.ledger.database import reading

_TOKENS: Final = sa.text(
    "SELECT coalesce(sum(input_tokens), 0), coalesce(sum(cached_tokens), 0), "
    "coalesce(sum(output_tokens), 0) FROM month_tokens "
    "WHERE tenant = :tenant AND month = :month"
)
_ACCOUNT: Final = sa.text(
    "SELECT spent_micro, reserved_micro, entry_count FROM accounts "
    "WHERE tenant = :tenant AND month = :month"
)


_CREDIT: Final = sa.text(
    "SELECT c.credit_micro - c.credit_used_micro - coalesce((SELECT sum(a.reserved_micro) "
    "FROM accounts a WHERE a.tenant = c.tenant), 0) FROM chains c "
    "WHERE c.tenant = :tenant AND c.credit_since IS NOT NULL"
)


_USED_OF_KEY: Final = sa.text(
    "SELECT coalesce((SELECT sum(amount_micro) FROM daily_usage "
    "WHERE tenant = :tenant AND month = :month AND key_id = :key_id), 0) + "
    "coalesce((SELECT sum(reserved_micro) FROM requests WHERE tenant = :tenant "
    "AND state = 'reserved' AND month = :month AND key_id = :key_id), 0)"
)


@dataclass(frozen=True, slots=True)
class MonthUsage:
    """Sums of a tenant's entries in a month: charges less what was reversed.

    Attributes:
      month: of the reservations, in UTC, such as 2026-11.
      input_tokens, cached_tokens, output_tokens: ids, of all models; cached ones are among the
        input's.
      amount_micro: in millionths.
      entries: charges and reversals.
      reserved_micro: of requests that are running.
    """

    tenant: str
    month: str
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    amount_micro: int
    entries: int
    reserved_micro: int


def usage_of_month(engine: sa.Engine, tenant: str, month: str) -> MonthUsage:
    """Read them; zeros where there is nothing.

    Args:
      month: such as 2026-11.

    Raises:
      sqlalchemy.exc.SQLAlchemyError: the database cannot be reached.
    """
    of = {"tenant": tenant, "month": month}
    with reading(engine) as connection:
        read, cached, written = map(int, connection.execute(_TOKENS, of).one())
        account = connection.execute(_ACCOUNT, of).one_or_none()
    spent, reserved, entries = account or (0, 0, 0)
    return MonthUsage(tenant, month, read, cached, written, spent, entries, reserved)


def credit_left(engine: sa.Engine, tenant: str) -> int | None:
    """What is left of a tenant's prepaid credit, neither spent nor reserved, in millionths;
    None: it does not pay in advance.

    Raises:
      sqlalchemy.exc.SQLAlchemyError: the database cannot be reached.
    """
    with reading(engine) as connection:
        left = connection.scalar(_CREDIT, {"tenant": tenant})
    return None if left is None else int(left)


def used_of_key(engine: sa.Engine, tenant: str, key_id: str, month: str) -> int:
    """What requests of an API key have spent or reserved in a month, in millionths.

    Args:
      month: such as 2026-11.

    Raises:
      sqlalchemy.exc.SQLAlchemyError: the database cannot be reached.
    """
    of = {"tenant": tenant, "key_id": key_id, "month": month}
    with reading(engine) as connection:
        return int(connection.scalar(_USED_OF_KEY, of) or 0)
