"""How long answers are kept. Charges are permanent; the texts that they were for are not."""

from __future__ import annotations

import datetime
from dataclasses import dataclass, fields
from typing import Final

import sqlalchemy as sa

from serving.ledger.clock import Clock, utc_now
from serving.ledger.database import writing

_AT_A_TIME: Final = 500
_TABLES: Final = ("answers", "undelivered")


@dataclass(frozen=True, slots=True)
class Retention:
    """How long answers are kept after their charge.

    Attributes:
      keyed: of requests with an idempotency key.
      undelivered: of other requests whose client may not have the answer.
    """

    keyed: datetime.timedelta = datetime.timedelta(days=30)
    undelivered: datetime.timedelta = datetime.timedelta(minutes=10)

    def __post_init__(self) -> None:
        """
        Raises:
          ValueError: a time is negative.
        """
        for each in fields(self):
            if getattr(self, each.name) < datetime.timedelta():
                raise ValueError(
                    f"{each.name}: answers are kept for a time of 0 or more. Received: "
                    f"{getattr(self, each.name)}"
                )


KEEP: Final = Retention()


def remove_expired(engine: sa.Engine, clock: Clock = utc_now) -> int:
    """Remove answers whose time is over, some in each transaction.

    Returns:
      How many.
    """
    removed = 0
    for table in _TABLES:
        statement = sa.text(
            f"DELETE FROM {table} WHERE request_id IN (SELECT request_id FROM {table} "
            "WHERE kept_until < :now LIMIT :most)"
        ).bindparams(sa.bindparam("now", type_=sa.DateTime))
        count = _AT_A_TIME
        while count == _AT_A_TIME:
            with writing(engine) as connection:
                values = {"now": clock(), "most": _AT_A_TIME}
                count = connection.execute(statement, values).rowcount
            removed += count
    return removed
