"""What administrators have changed: who, when, what was before and what is after.

A row is written in the transaction of its change, so that neither is there without the other,
and the database refuses to change or delete it. It holds no secret: of a key, only its id and
what is known of it.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import sqlalchemy as sa

from serving.ledger import admin_sql
from serving.ledger.database import reading
from serving.ledger.records import MAX_INTEGER

Via = Literal["api", "command", "console"]
State = Mapping[str, Any]
Row = Mapping[str, object]
Record = Callable[[State, State], Row]
"""Makes a row of what was before a change and what is after it; who makes it is known."""
NOTHING: Final[State] = {}


@dataclass(frozen=True, slots=True)
class Change:
    """A row of the audit log.

    Attributes:
      id: ascending in the order of writing.
      at: UTC.
      actor: the administrator's name: that of the token, or of the system's user.
      via: the API, a command or the console.
      action: such as ``tenant.change``.
      tenant: whom it concerns; empty for none.
      subject: what was changed: a tenant, a key's id, the price book.
      before, after: the fields that changed; empty where there was nothing, or is nothing.
    """

    id: int
    at: datetime.datetime
    actor: str
    via: str
    action: str
    tenant: str
    subject: str
    before: State
    after: State


def change_row(
    at: datetime.datetime,
    actor: str,
    via: Via,
    action: str,
    tenant: str,
    subject: str,
    before: State = NOTHING,
    after: State = NOTHING,
    confirmation: str | None = None,
) -> Row:
    """A row, to be written in the transaction of the change; see `Change`.

    Args:
      confirmation: that no other row has: where one has it, the database refuses this one, and
        with it the change. None: the change may be made again.
    """
    return {
        "at": at,
        "actor": actor,
        "via": via,
        "action": action,
        "tenant": tenant,
        "subject": subject,
        "before": _text(before),
        "after": _text(after),
        "confirmation": confirmation,
    }


def write_change(connection: sa.Connection, row: Row) -> None:
    """Add a row, in the transaction of the change."""
    connection.execute(admin_sql.ADD_AUDIT, row)


def read_changes(
    engine: sa.Engine, limit: int, before_id: int | None = None, tenant: str = ""
) -> list[Change]:
    """Read rows, the newest first.

    Args:
      limit: so many at most.
      before_id: only rows that are older than this one; None: from the newest on.
      tenant: only this one's; empty: all.
    """
    query = admin_sql.AUDIT_OF_TENANT if tenant else admin_sql.AUDIT
    values: dict[str, object] = {
        "before_id": MAX_INTEGER if before_id is None else before_id,
        "most": limit,
    }
    if tenant:
        values["tenant"] = tenant
    with reading(engine) as connection:
        return [_change(row) for row in connection.execute(query, values)]


def read_confirmed(engine: sa.Engine, confirmation: str) -> Change | None:
    """The change that was made by a confirmation; None: it was made by none."""
    values = {"confirmation": confirmation}
    with reading(engine) as connection:
        row = connection.execute(admin_sql.AUDIT_OF_CONFIRMATION, values).one_or_none()
    return None if row is None else _change(row)


def _change(row: Any) -> Change:
    return Change(
        id=row.id,
        at=row.at,
        actor=row.actor,
        via=row.via,
        action=row.action,
        tenant=row.tenant,
        subject=row.subject,
        before=json.loads(row.before),
        after=json.loads(row.after),
    )


def _text(state: State) -> str:
    return json.dumps(state, ensure_ascii=False, sort_keys=True, default=_told)


def _told(value: object) -> object:
    if isinstance(value, datetime.datetime):
        return f"{value.isoformat()}Z"
    raise TypeError(f"The audit log cannot hold a {type(value).__name__}.")
