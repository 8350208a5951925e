"""What a group of operations has changed, and how it is written: a statement for each table."""

from __future__ import annotations

import datetime
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from operator import add, attrgetter
from typing import Any, Final

from serving.ledger.events import usage_event
from serving.ledger.records import ENTRY_FIELDS, Entry
from serving.ledger.schema import RELEASED, SETTLED
from serving.ledger.sql import Driver, Statements, Values

_fields_of: Final = attrgetter(*ENTRY_FIELDS)
_DAILY: Final = (
    *("tenant", "month", "key_id", "day", "model"),
    *("requests", "input_tokens", "cached_tokens", "output_tokens", "amount_micro"),
)

# A charge is a request, which a reversal takes back; what is refunded in part stays one.
REQUESTS_OF: Final = {"charge": 1, "reversal": -1}

Account = tuple[str, str]
"""A tenant and a month."""


@dataclass(slots=True)
class Request:
    """A row of the requests, as it will be.

    Attributes:
      state: reserved, settled or released.
      route: of which API; None where an answer that is not delivered is not kept.
      key_id: of the API key that it came with; empty where it is not known.
    """

    request_id: str
    tenant: str
    idempotency_key: str | None
    request_hash: str
    state: str
    month: str
    reserved_micro: int
    route: str | None = None
    key_id: str = ""


DailyKey = tuple[str, str, str, str, str]
"""A tenant, a month that pays, an API key, a day and a model."""


@dataclass(slots=True)
class Changes:
    """What is to be written.

    Attributes:
      entries: in the order of their chains.
      answers: of requests with a key, by their ids.
      credits: of the tenants of the entries, the columns of the chains that say so.
      audited: rows of the audit log.
    """

    entries: list[Entry] = field(default_factory=list)
    answers: dict[str, bytes] = field(default_factory=dict)
    credits: dict[str, Mapping[str, int | None]] = field(default_factory=dict)
    audited: list[Values] = field(default_factory=list)
    _new: dict[str, Request] = field(default_factory=dict)
    _ended: dict[str, list[str]] = field(default_factory=lambda: {SETTLED: [], RELEASED: []})
    _reserved: dict[Account, int] = field(default_factory=lambda: defaultdict(int))
    _paid: dict[Account, tuple[int, int]] = field(default_factory=dict)
    _daily: dict[DailyKey, tuple[int, ...]] = field(default_factory=dict)

    def reserved(self, request: Request) -> None:
        """A request is new."""
        self._new[request.request_id] = request
        self._reserved[request.tenant, request.month] += request.reserved_micro

    def ended(self, request: Request) -> None:
        """A request is settled or released."""
        if request.request_id not in self._new:
            self._ended[request.state].append(request.request_id)

    def paid(self, request: Request, spent_micro: int, reserved_micro: int) -> None:
        """So much more is spent and reserved in the account of a request."""
        account = request.tenant, request.month
        spent, reserved = self._paid.get(account, (0, 0))
        self._paid[account] = spent + spent_micro, reserved + reserved_micro

    def used(self, entry: Entry, request: Request) -> None:
        """An entry counts towards the day and the key of a request."""
        day = entry.created_at.date().isoformat()
        key = entry.tenant, request.month, request.key_id, day, entry.model
        counts = (
            REQUESTS_OF.get(entry.kind, 0),
            entry.input_tokens,
            entry.cached_tokens,
            entry.output_tokens,
            entry.amount_micro,
        )
        before = self._daily.get(key)
        self._daily[key] = tuple(map(add, before, counts)) if before else counts

    def write(
        self,
        driver: Driver,
        statements: Statements,
        owner: str,
        created_at: datetime.datetime,
        kept_until: datetime.datetime,
    ) -> None:
        """Write all of it.

        Args:
          owner, created_at: of the new requests; UTC.
          kept_until: of the answers; UTC.
        """
        # Keys that are given back come before those that are taken.
        if released := self._ended[RELEASED]:
            driver.write(statements.release_requests, [{"request_ids": released}])
        if settled := self._ended[SETTLED]:
            driver.write(statements.settle_requests, [{"request_ids": settled}])
        common = {"owner": owner, "created_at": created_at}
        driver.write(
            statements.add_request,
            [_request_row(request) | common for request in self._new.values()],
        )
        driver.write(
            statements.add_answer,
            [
                {"request_id": key, "answer": answer, "kept_until": kept_until}
                for key, answer in self.answers.items()
            ],
        )
        driver.write(statements.add_entry, [_entry_row(entry) for entry in self.entries])
        driver.write(
            statements.add_event, [{"event": usage_event(entry)} for entry in self.entries]
        )
        driver.write(statements.add_audit, self.audited)
        self._write_sums(driver, statements)

    def _write_sums(self, driver: Driver, statements: Statements) -> None:
        """What the rows that are written add up to."""
        last_ones = {entry.tenant: entry for entry in self.entries}
        driver.write(
            statements.move_chain,
            [
                {
                    "tenant": tenant,
                    "number": entry.number,
                    "hash": entry.hash,
                    **self.credits[tenant],
                }
                for tenant, entry in last_ones.items()
            ],
        )
        used = [entry for entry in self.entries if entry.kind != "top_up"]
        months = {(each.tenant, each.month, each.model): each for each in used}
        driver.write(
            statements.set_month, [_month_row(months[each]) for each in sorted(months)]
        )
        driver.write(
            statements.add_daily_usage,
            [
                dict(zip(_DAILY, (*key, *self._daily[key]), strict=True))
                for key in sorted(self._daily)
            ],
        )
        driver.write(
            statements.reserve_in_account,
            [
                {
                    "tenant": tenant,
                    "month": month,
                    "reserved_micro": amount,
                }
                for (tenant, month), amount in sorted(self._reserved.items())
            ],
        )
        counts = Counter((each.tenant, each.month) for each in used)
        driver.write(
            statements.add_to_account,
            [
                {
                    "tenant": tenant,
                    "month": month,
                    "spent_micro": spent,
                    "reserved_micro": reserved,
                    "entries": counts[tenant, month],
                }
                for (tenant, month), (spent, reserved) in sorted(self._paid.items())
            ],
        )


def _request_row(request: Request) -> dict[str, Any]:
    return {
        "request_id": request.request_id,
        "tenant": request.tenant,
        "idempotency_key": request.idempotency_key,
        "request_hash": request.request_hash,
        "state": request.state,
        "month": request.month,
        "reserved_micro": request.reserved_micro,
        "route": request.route,
        "key_id": request.key_id,
    }


def _entry_row(entry: Entry) -> dict[str, Any]:
    return dict(zip(ENTRY_FIELDS, _fields_of(entry), strict=True))


def _month_row(last: Entry) -> dict[str, Any]:
    """The counts of a month after its last entry."""
    return {
        "tenant": last.tenant,
        "month": last.month,
        "model": last.model,
        "input_tokens": last.input_tokens_before + last.input_tokens,
        "cached_tokens": last.cached_tokens_before + last.cached_tokens,
        "output_tokens": last.output_tokens_before + last.output_tokens,
    }
