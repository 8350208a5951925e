"""Who administers, and with what."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from serving.gateway.tenants import TenantError
from serving.ledger.audit_log import NOTHING, Row, State, Via, change_row, write_change
from serving.ledger.clock import Clock, utc_now


def _nobody(tenant: str) -> None:
    """No gateway runs in this process."""


@dataclass(frozen=True, slots=True)
class Administrator:
    """Whoever makes changes, for the audit log, and the ledger that they are made in.

    Attributes:
      name: of the person, or the program.
      via: the API, a command or the console.
      plans: those of the price book; None where it is not at hand, and plans are not checked.
      forget: told of each tenant that has changed, for a gateway in this process.
      clock: UTC.
      confirmation: of the one change that is made; where the audit log has it, the change is
        made already, and the database refuses it (`sqlalchemy.exc.IntegrityError`, or what the
        function makes of it). None: changes are made as often as they are asked for.
    """

    engine: sa.Engine
    name: str
    via: Via = "command"
    plans: Callable[[], Collection[str]] | None = None
    forget: Callable[[str], None] = _nobody
    clock: Clock = utc_now
    confirmation: str | None = None

    def record(
        self,
        connection: sa.Connection,
        action: str,
        tenant: str,
        subject: str,
        before: State = NOTHING,
        after: State = NOTHING,
    ) -> None:
        """Write a change into the audit log, in its transaction; see `row`."""
        write_change(connection, self.row(action, tenant, subject, before, after))

    def row(
        self,
        action: str,
        tenant: str,
        subject: str,
        before: State = NOTHING,
        after: State = NOTHING,
    ) -> Row:
        """What the audit log says of a change: of both states, what differs."""
        differs = {
            name
            for name in before.keys() | after.keys()
            if name not in before or name not in after or before[name] != after[name]
        }
        return change_row(
            self.clock(),
            self.name,
            self.via,
            action,
            tenant,
            subject,
            _only(before, differs),
            _only(after, differs),
            self.confirmation,
        )

    def check_plan(self, plan: str) -> None:
        """
        Raises:
          TenantError: the price book is at hand, and has no such plan.
        """
        if self.plans is not None:
            check_plan(plan, self.plans())


def check_plan(plan: str, plans: Collection[str]) -> None:
    """Hold a plan to those of a price book.

    Raises:
      TenantError: it is none of them.
    """
    if plan not in plans:
        raise TenantError(
            f"The price book has no plan {plan[:100]!r}. Expected: one of "
            f"{', '.join(sorted(plans))}. Choose one of them, or add a price for the plan."
        )


def _only(state: Mapping[str, Any], names: set[str]) -> dict[str, Any]:
    return {name: value for name, value in state.items() if name in names}
