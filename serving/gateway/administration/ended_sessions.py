"""Sessions of the console that their holders have ended: no gateway of this ledger knows them
any more, whoever still has their cookie."""

from __future__ import annotations

import datetime
from typing import Final

import sqlalchemy as sa

from serving.ledger.database import reading, writing

_END: Final = sa.text(
    "INSERT INTO ended_sessions (session, kept_until) VALUES (:session, :kept_until) "
    "ON CONFLICT (session) DO NOTHING"
).bindparams(sa.bindparam("kept_until", type_=sa.DateTime))
_FORGET: Final = sa.text("DELETE FROM ended_sessions WHERE kept_until < :now").bindparams(
    sa.bindparam("now", type_=sa.DateTime)
)
_ENDED: Final = sa.text("SELECT 1 FROM ended_sessions WHERE session = :session")


def end_session(
    engine: sa.Engine, session: str, kept_until: datetime.datetime, now: datetime.datetime
) -> None:
    """End a session, and forget those that are over by now without that.

    Args:
      session: what it is known by, which is no secret.
      kept_until: UTC; when it is over in any case, by any gateway's clock.
      now: UTC.
    """
    with writing(engine) as connection:
        connection.execute(_FORGET, {"now": now})
        connection.execute(_END, {"session": session, "kept_until": kept_until})


def has_ended(engine: sa.Engine, session: str) -> bool:
    """Whether its holder has ended it."""
    with reading(engine) as connection:
        return connection.scalar(_ENDED, {"session": session}) is not None
