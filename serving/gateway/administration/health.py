"""How the ledger is: what has been checked and anchored, who may reserve, what is archived."""

from __future__ import annotations

import datetime
import json
from dataclasses import asdict, dataclass
from typing import Any, Final

import sqlalchemy as sa

from serving.gateway.administration.administrator import Administrator
from serving.gateway.administration.ledger import Checked
from serving.ledger import schema
from serving.ledger.database import reading, writing

CHECK: Final = "ledger.check"
ANCHOR: Final = "ledger.anchor"
_FINDINGS_KEPT: Final = 20


@dataclass(frozen=True, slots=True)
class Done:
    """A check or an anchor, as the audit log knows it.

    Attributes:
      at: UTC.
      told: what came of it.
    """

    at: datetime.datetime
    actor: str
    told: dict[str, Any]


@dataclass(frozen=True, slots=True)
class OpenLease:
    """A process that may reserve.

    Attributes:
      lease_s: within so long after it has died, what it had reserved is released.
      started_at: UTC.
    """

    label: str
    renewals: int
    lease_s: float
    started_at: datetime.datetime


@dataclass(frozen=True, slots=True)
class ArchivedMonth:
    """A month whose entries are in a file.

    Attributes:
      removed: whether they are in the database no more.
    """

    month: str
    entries: int
    sha256: str
    written_at: datetime.datetime
    removed: bool


@dataclass(frozen=True, slots=True)
class LedgerHealth:
    """
    Attributes:
      chains: how many there are, one for each tenant.
      entries: of all chains since their beginning, archived ones included.
      check, anchor: the last of each that is in the audit log; None for none.
      leases: by their start.
      archives: the newest month first.
    """

    chains: int
    entries: int
    check: Done | None
    anchor: Done | None
    leases: tuple[OpenLease, ...]
    archives: tuple[ArchivedMonth, ...]


def read_health(engine: sa.Engine) -> LedgerHealth:
    """Read how the ledger is. What is checked here is nothing: see `check_ledger`."""
    chains, leases, archives = schema.chains.c, schema.leases.c, schema.archive_files.c
    with reading(engine) as connection:
        count, entries = connection.execute(
            sa.select(sa.func.count(), sa.func.coalesce(sa.func.sum(chains.number), 0))
        ).one()
        return LedgerHealth(
            chains=count,
            entries=int(entries),
            check=_last(connection, CHECK),
            anchor=_last(connection, ANCHOR),
            leases=tuple(
                OpenLease(row.label, row.renewals, row.lease_ms / 1000, row.started_at)
                for row in connection.execute(
                    sa.select(schema.leases).order_by(leases.started_at, leases.lease_id)
                )
            ),
            archives=tuple(
                ArchivedMonth(row.month, row.entries, row.sha256, row.written_at, row.removed)
                for row in connection.execute(
                    sa.select(schema.archive_files).order_by(archives.month.desc())
                )
            ),
        )


def record_check(by: Administrator, tenant: str, checked: Checked) -> None:
    """Write into the audit log that the ledger was checked, and what was found.

    Args:
      tenant: whose ledger; empty for all.
    """
    after = {**asdict(checked), "findings": checked.findings[:_FINDINGS_KEPT]}
    with writing(by.engine) as connection:
        by.record(connection, CHECK, tenant, "ledger", after=after)


def _last(connection: sa.Connection, action: str) -> Done | None:
    log = schema.audit_log.c
    row = connection.execute(
        sa.select(log.at, log.actor, log.after)
        .where(log.action == action, log.tenant == "")
        .order_by(log.id.desc())
        .limit(1)
    ).one_or_none()
    return None if row is None else Done(row.at, row.actor, json.loads(row.after))
