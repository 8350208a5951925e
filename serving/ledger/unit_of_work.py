"""A unit of work: what a group of operations reads at its beginning, and writes at its end.

In between nothing is asked of the database: its tenants are locked, so that what was read stays
true, and what one operation has done the next one sees here. So a group of many requests takes
as many statements as one of a single request.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from serving.ledger.authentication import LedgerKey
from serving.ledger.budgets import Budgets
from serving.ledger.chain import FIRST_HASH, hash_at
from serving.ledger.changes import Changes, Request
from serving.ledger.clock import Clock
from serving.ledger.errors import UnknownRequestError
from serving.ledger.months import month_ends_in_s
from serving.ledger.parts import parts_to_text
from serving.ledger.records import ENTRY_FIELDS, Charge, Entry, Reservation, TokensBefore, Usage
from serving.ledger.retention import KEEP, Retention
from serving.ledger.schema import RELEASED, RESERVED, SETTLED
from serving.ledger.sql import Driver, Row, Statement, Statements, time_of
from serving.ledger.undelivered import UndeliveredAnswers
from serving.ledger.wanted import Found, Wanted, find


class UnitOfWork:
    """The tenants of a group, for one transaction."""

    def __init__(
        self,
        driver: Driver,
        statements: Statements,
        owner: str,
        clock: Clock,
        retention: Retention = KEEP,
        key: LedgerKey | None = None,
    ) -> None:
        """
        Args:
          owner: of what is reserved.
          clock: UTC.
          retention: of answers.
          key: to authenticate entries with; None: they are not.
        """
        self._driver = driver
        self._statements = statements
        self._owner = owner
        self._clock = clock
        self._key = key
        self._began = clock()
        self._month = f"{self._began:%Y-%m}"
        self.changes = Changes()
        self.undelivered = UndeliveredAnswers(
            driver, statements, owner, _after(self._began, retention.undelivered)
        )
        self.budgets = Budgets(driver, statements)
        self._kept_until = _after(self._began, retention.keyed)
        self._found = Found()

    def read(self, wanted: Wanted) -> None:
        """Lock the tenants, and read what is to be known of them."""
        while missing := self._read(wanted):
            self._driver.write(
                self._statements.add_chain,
                [{"tenant": each, "number": 0, "hash": FIRST_HASH} for each in sorted(missing)],
            )

    def _read(self, wanted: Wanted) -> set[str]:
        """
        Returns:
          Tenants that are not there: then what was read is worth nothing.
        """
        if not wanted.request_ids and not wanted.tenants:
            return set()
        self._found = found = find(
            wanted, self._driver, self._statements, self._month, self._began
        )
        self.undelivered.read(found.undelivered)
        self.budgets.read(found.credits, found.watched)
        return wanted.tenants - found.chains.keys()

    # What is known.

    def now(self) -> datetime.datetime:
        return self._clock()

    def month_ends_in_s(self) -> int:
        """Seconds until what is used this month counts no more."""
        return month_ends_in_s(self._began)

    def request(self, request_id: str) -> Request:
        """
        Raises:
          UnknownRequestError: there is none.
        """
        request = self._found.requests.get(request_id)
        if request is None:
            raise UnknownRequestError(f"There is no reservation for the request {request_id}.")
        return request

    def request_of_key(self, tenant: str, key: str) -> Request | None:
        return self._found.of_keys.get((tenant, key))

    def used_micro(self, tenant: str) -> int:
        """Spent or reserved this month."""
        return self._found.used[tenant, self._month]

    def used_of_key_micro(self, key_id: str) -> int:
        """Spent or reserved this month by requests of an API key."""
        return self._found.used_of_keys[key_id, self._month]

    def under_way(self, tenant: str) -> int:
        return self._found.under_way[tenant]

    def tokens_before(self, tenant: str, month: str, model: str) -> TokensBefore:
        return self._found.tokens.get((tenant, month, model)) or TokensBefore()

    def answer(self, request_id: str) -> bytes | None:
        """Of a request with a key that is settled; None: it is no longer kept."""
        if request_id in self.changes.answers:
            return self.changes.answers[request_id]
        rows = self.ask("answer", request_id=request_id, now=self._began)
        return bytes(rows[0][0]) if rows else None

    def charge(self, request_id: str) -> Entry:
        """Of a request that is settled."""
        for entry in self.changes.entries:
            if entry.request_id == request_id and entry.kind == "charge":
                return entry
        (row,) = self.ask("charge", request_id=request_id)
        return entry_of(row)

    def ask(self, statement: str, **values: Any) -> Sequence[Row]:
        """What is not read for every operation: rows of a statement of `serving.ledger.sql`."""
        ask: Statement = getattr(self._statements, statement)
        return self._driver.ask(ask, **values)()

    # What changes.

    def reserve(self, asked: Reservation) -> None:
        request = Request(
            asked.request_id,
            asked.tenant,
            asked.idempotency_key,
            asked.request_hash,
            RESERVED,
            self._month,
            asked.amount_micro,
            asked.route,
            asked.key_id or "",
        )
        self._found.requests[request.request_id] = request
        if request.idempotency_key is not None:
            self._found.of_keys[request.tenant, request.idempotency_key] = request
        self.changes.reserved(request)
        self._found.used[request.tenant, self._month] += asked.amount_micro
        self.budgets.reserved(request.tenant, asked.amount_micro)
        self._found.used_of_keys[request.key_id, self._month] += asked.amount_micro
        self._found.under_way[request.tenant] += 1

    def settle(self, request: Request, usage: Usage, charge: Charge, answer: bytes) -> Entry:
        before = self.tokens_before(request.tenant, request.month, usage.model)
        entry = self.append(
            Entry(
                tenant=request.tenant,
                number=0,
                kind="charge",
                request_id=request.request_id,
                request_hash=request.request_hash,
                model=usage.model,
                model_version=usage.model_version,
                tokenizer_fingerprint=usage.tokenizer_fingerprint,
                contract_version=usage.contract_version,
                input_tokens=usage.input_tokens,
                cached_tokens=usage.cached_tokens,
                output_tokens=usage.output_tokens,
                finish_reasons=usage.finish_reasons,
                latency_ms=usage.latency_ms,
                amount_micro=charge.amount_micro,
                currency=charge.currency,
                price_id=charge.price_id,
                reason="",
                created_at=self.now(),
                previous_hash="",
                hash="",
                month=request.month,
                input_tokens_before=before.input_tokens,
                cached_tokens_before=before.cached_tokens,
                output_tokens_before=before.output_tokens,
                parts=parts_to_text(charge.parts),
                work_hash=usage.work_hash,
            )
        )
        if request.idempotency_key is not None:
            self.changes.answers[request.request_id] = answer
        self.changes.used(entry, request)
        self.undelivered.settled(request, answer)
        self.budgets.charged(entry)
        self.end(request, SETTLED, charge.amount_micro)
        return entry

    def append(self, entry: Entry) -> Entry:
        """Put an entry at the end of its tenant's chain, and its event into the outbox.

        Args:
          entry: all but its number and its hashes; at `tokens_before`.
        """
        number, previous = self._found.chains[entry.tenant]
        own = hash_at(entry, number + 1, previous)
        entry = replace(
            entry,
            number=number + 1,
            previous_hash=previous,
            hash=own,
            code=self._key.of_entry(own) if self._key else "",
        )
        self._found.chains[entry.tenant] = entry.number, entry.hash
        if entry.model:
            self._found.tokens[entry.tenant, entry.month, entry.model] = TokensBefore(
                entry.input_tokens_before + entry.input_tokens,
                entry.cached_tokens_before + entry.cached_tokens,
                entry.output_tokens_before + entry.output_tokens,
            )
        self.budgets.added(entry)
        self.changes.entries.append(entry)
        return entry

    def end(self, request: Request, state: str, spent_micro: int = 0) -> None:
        """Settle or release; the month of the reservation pays: its budget was looked at."""
        request.state = state
        if state == RELEASED and request.route is not None and not request.idempotency_key:
            self.undelivered.forget([request.request_id])
        if state == RELEASED and request.idempotency_key is not None:
            self._found.of_keys.pop((request.tenant, request.idempotency_key), None)
            request.idempotency_key = None
        self.changes.ended(request)
        self._found.under_way[request.tenant] -= 1
        self.pay(request, spent_micro, -request.reserved_micro)

    def pay(self, request: Request, spent_micro: int, reserved_micro: int = 0) -> None:
        """From the account of a request's month.

        Args:
          reserved_micro: how much more is reserved; negative for less.
        """
        self.changes.paid(request, spent_micro, reserved_micro)
        self._found.used[request.tenant, request.month] += spent_micro + reserved_micro
        self.budgets.reserved(request.tenant, reserved_micro)
        self._found.used_of_keys[request.key_id, request.month] += spent_micro + reserved_micro

    def write(self) -> None:
        """Write all that has changed."""
        self.changes.credits = {
            entry.tenant: self.budgets.columns(entry.tenant) for entry in self.changes.entries
        }
        self.changes.write(
            self._driver, self._statements, self._owner, self._began, self._kept_until
        )
        self.undelivered.write()
        self.budgets.write()


def entry_of(row: Row) -> Entry:
    """An entry as it was read."""
    values = dict(zip(ENTRY_FIELDS, row, strict=True))
    return Entry(**values | {"created_at": time_of(values["created_at"])})


def _after(moment: datetime.datetime, wait: datetime.timedelta) -> datetime.datetime:
    """A moment later, as far as time can be written: a clock may be set to the last year."""
    end = datetime.datetime.max.replace(tzinfo=moment.tzinfo)
    return end if wait > end - moment else moment + wait
