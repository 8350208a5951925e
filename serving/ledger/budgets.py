"""What a tenant may still spend: credit that was paid in advance; and alerts when a month's
budget is spent to certain shares.

A tenant pays in advance from its first top-up on: what its entries after that one cost is taken
from its credit, and what they give back returns there. Shares are of the budget that holds when
a charge is written.
"""

from __future__ import annotations

import datetime
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from serving.ledger import schema
from serving.ledger.errors import LedgerError
from serving.ledger.events import SOURCE
from serving.ledger.records import Entry
from serving.ledger.sql import Driver, Row, Statements

EVENT_TYPE: Final = "tallygraph.budget"
MAX_SHARES: Final = 20

Account = tuple[str, str]
"""A tenant and a month."""


@dataclass(slots=True)
class Credit:
    """What a tenant has paid in advance.

    Attributes:
      since: number of its first top-up.
      bought_micro: of all top-ups.
      used_micro: what the entries since then cost.
    """

    since: int
    bought_micro: int = 0
    used_micro: int = 0

    def add(self, entry: Entry) -> None:
        """The tenant's next entry."""
        if entry.kind == "top_up":
            self.bought_micro -= entry.amount_micro
        else:
            self.used_micro += entry.amount_micro


@dataclass(slots=True)
class _Watched:
    """An account of a tenant who wants alerts."""

    spent_micro: int
    alerted_percent: int
    budget_micro: int
    percents: Sequence[int]


class Budgets:
    """Of the tenants of a unit of work.

    Attributes:
      alerted: accounts, and the highest share that is alerted of now, where that has changed.
      events: alerts, as JSON.
    """

    def __init__(self, driver: Driver, statements: Statements) -> None:
        self._driver = driver
        self._statements = statements
        self._credits: dict[str, Credit] = {}
        self._reserved = defaultdict[str, int](int)
        self._watched: dict[Account, _Watched] = {}
        self.alerted: dict[Account, int] = {}
        self.events: list[str] = []

    def read(self, chains: Iterable[Row], watched: Iterable[Row]) -> None:
        """
        Args:
          chains: tenant, and since when, how much it has bought and used, of each.
          watched: tenant, month, spent, alerted, budget and percents, of each account.
        """
        self._credits = {
            tenant: Credit(since, bought, used)
            for tenant, since, bought, used in chains
            if since is not None
        }
        if self._credits:
            rows = self._driver.ask(
                self._statements.reserved_of_tenants, tenants=sorted(self._credits)
            )()
            self._reserved.update({tenant: int(total) for tenant, total in rows})
        self._watched = {
            (tenant, month): _Watched(spent, alerted, budget, percents_from_text(percents))
            for tenant, month, spent, alerted, budget, percents in watched
        }

    def credit(self, tenant: str) -> Credit | None:
        """None: it does not pay in advance."""
        return self._credits.get(tenant)

    def left_micro(self, tenant: str) -> int | None:
        """Credit that is neither charged nor reserved; None where a tenant has none."""
        credit = self._credits.get(tenant)
        if credit is None:
            return None
        return credit.bought_micro - credit.used_micro - self._reserved[tenant]

    def reserved(self, tenant: str, amount_micro: int) -> None:
        """So much more is reserved; negative for less."""
        self._reserved[tenant] += amount_micro

    def added(self, entry: Entry) -> None:
        """An entry is added to its tenant's chain."""
        if entry.kind == "top_up" and entry.tenant not in self._credits:
            self._credits[entry.tenant] = Credit(entry.number)
        if (credit := self._credits.get(entry.tenant)) is not None:
            credit.add(entry)

    def charged(self, entry: Entry) -> None:
        """A charge is added: alert of what it brings the month's spending to, once a share."""
        watched = self._watched.get((entry.tenant, entry.month))
        if watched is None:
            return
        watched.spent_micro += entry.amount_micro
        for percent in watched.percents:
            if watched.alerted_percent < percent and (
                100 * watched.spent_micro >= percent * watched.budget_micro
            ):
                watched.alerted_percent = percent
                self.alerted[entry.tenant, entry.month] = percent
                self.events.append(
                    _event(entry, percent, watched.budget_micro, watched.spent_micro)
                )

    def columns(self, tenant: str) -> Mapping[str, int | None]:
        """Of the tenant's row in the chains."""
        credit = self._credits.get(tenant)
        values = (credit.since, credit.bought_micro, credit.used_micro) if credit else None
        names = ("credit_since", "credit_micro", "credit_used_micro")
        return dict(zip(names, values or (None, None, None), strict=True))

    def write(self) -> None:
        """Write what has changed, but for the columns of the chains."""
        self._driver.write(
            self._statements.set_alerted,
            [
                {"tenant": tenant, "month": month, "percent": percent}
                for (tenant, month), percent in sorted(self.alerted.items())
            ],
        )
        self._driver.write(
            self._statements.add_event, [{"event": each} for each in self.events]
        )


def percents_from_text(text: str) -> tuple[int, ...]:
    """Shares of a budget, such as ``50,80,100``, in ascending order.

    Raises:
      LedgerError: they are not from 1 to 100, or too many.
    """
    parts = [part.strip() for part in text.split(",")]
    if (
        not 0 < len(parts) <= MAX_SHARES
        or not all(part.isascii() and part.isdecimal() for part in parts)
        or not all(1 <= int(part) <= 100 for part in parts)
    ):
        raise LedgerError(
            f"Shares of a budget are at most {MAX_SHARES} whole numbers from 1 to 100, joined "
            f"by commas, such as 50,80,100. Received: {text[:100]!r}"
        )
    return tuple(sorted({int(part) for part in parts}))


def set_alerts(
    connection: sa.Connection, tenant: str, shares: Sequence[int]
) -> tuple[int, ...]:
    """Say at which shares of its month's budget a tenant's spending is to be alerted of.

    Args:
      shares: in percent, from `percents_from_text`; none for no alerts.

    Returns:
      Those before.
    """
    table = schema.alert_shares
    of_tenant = table.c.tenant == tenant
    before = connection.scalar(sa.select(table.c.percents).where(of_tenant))
    connection.execute(table.delete().where(of_tenant))
    if shares:
        text = ",".join(map(str, shares))
        connection.execute(table.insert().values(tenant=tenant, percents=text))
    return percents_from_text(before) if before else ()


def _event(entry: Entry, percent: int, budget_micro: int, spent_micro: int) -> str:
    return json.dumps(
        {
            "specversion": "1.0",
            "id": f"budget/{entry.tenant}/{entry.month}/{percent}",
            "source": SOURCE,
            "type": EVENT_TYPE,
            "subject": entry.tenant,
            "time": entry.created_at.replace(tzinfo=datetime.UTC).isoformat(),
            "datacontenttype": "application/json",
            "data": {
                "month": entry.month,
                "percent": percent,
                "budget_micro": budget_micro,
                "spent_micro": spent_micro,
                "currency": entry.currency,
                "entry": entry.number,
                "request_id": entry.request_id,
            },
        },
        ensure_ascii=False,
        separators=(",", ":"),
    )
