"""What people add to a chain: reversals and refunds of charges, top-ups of credit; each with a
row of the audit log, where one is made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

from serving.ledger.audit_log import NOTHING, Record, State
from serving.ledger.changes import Request
from serving.ledger.charges import FoundCharge
from serving.ledger.errors import LedgerError
from serving.ledger.parts import Meter, parts_from_text, parts_to_text
from serving.ledger.records import MAX_INTEGER, MAX_TEXT, SCHEMA_VERSION, Entry
from serving.ledger.refunds import (
    Refunded,
    refund_of_amount,
    refund_of_rest,
    refund_of_tokens,
    what_is_left,
)
from serving.ledger.schema import SETTLED
from serving.ledger.unit_of_work import UnitOfWork, entry_of
from serving.ledger.wanted import Wanted


def check_said(what: str, reason: str, made_by: str) -> None:
    """
    Raises:
      LedgerError: it is not said why, or by whom.
    """
    for name, text in (("reason", reason), ("name of who makes it", made_by)):
        if not 0 < len(text.strip()) <= MAX_TEXT:
            raise LedgerError(
                f"A {what} needs a {name} of 1 to {MAX_TEXT} characters. Received: "
                f"{text[:MAX_TEXT]!r}"
            )


@dataclass(frozen=True, slots=True)
class _OfCharge:
    """
    Attributes:
      charge: as it was found.
      reason, made_by: why a part of it or all is given back, and who does it.
      record: makes the audit log's row, of what was left of the charge and is left; None: there
        is none.
    """

    on_disk: ClassVar[bool] = True
    charge: FoundCharge
    reason: str
    made_by: str
    record: Record | None

    def want(self, wanted: Wanted) -> None:
        charge = self.charge
        wanted.request_ids.add(charge.entry.request_id)
        wanted.models.add(charge.entry.model)
        if charge.archived_month is not None:
            wanted.tenants.add(charge.entry.tenant)
            wanted.months.add(charge.archived_month)

    def _given_back(self, work: UnitOfWork) -> list[Entry]:
        """The reversal and the refunds of the charge, wherever they are.

        Raises:
          LedgerError: some may have been archived since the archives were read.
        """
        charge, request_id = self.charge, self.charge.entry.request_id
        here = map(entry_of, work.ask("given_back", request_id=request_id))
        later = [each for each in here if each.number > charge.archived_up_to]
        if charge.archived_month is not None:
            # After it: what was archived in between is there, or found out.
            ((last,),) = work.ask("last_archived", tenant=charge.entry.tenant)
            if last != charge.archived_up_to:
                raise LedgerError(
                    f"Entries of {charge.entry.tenant} are being archived. Try again after "
                    "that."
                )
        now = [
            each
            for each in work.changes.entries
            if each.request_id == request_id and each.kind != "charge"
        ]
        return [*charge.given_back, *later, *now]

    def _request(self, work: UnitOfWork) -> Request:
        """That of the charge; of an archived one, it is written again, so that what is given
        back of it has one."""
        charge, month = self.charge.entry, self.charge.archived_month
        if month is None:
            return work.request(charge.request_id)
        # What was read at first may be from before the tenant was locked.
        for row in work.ask("lock_requests", request_ids=[charge.request_id]):
            return Request(*row)
        request = Request(
            charge.request_id, charge.tenant, None, charge.request_hash, SETTLED, month, 0
        )
        work.changes.reserved(request)
        return request

    def _give_back(self, work: UnitOfWork, entry: Entry, left_micro: int) -> Entry:
        """
        Args:
          entry: with its counts, amount, kind and parts.
          left_micro: of the charge, before it.
        """
        request = self._request(work)
        before = work.tokens_before(request.tenant, request.month, entry.model)
        work.pay(request, entry.amount_micro)
        given_back = replace(
            entry,
            reason=self.reason,
            created_at=work.now(),
            schema_version=SCHEMA_VERSION,  # that of the charge may be an older one
            made_by=self.made_by,
            month=request.month,
            input_tokens_before=before.input_tokens,
            cached_tokens_before=before.cached_tokens,
            output_tokens_before=before.output_tokens,
        )
        work.changes.used(given_back, request)
        added = work.append(given_back)
        left = {"left_micro": left_micro}
        _record(work, self.record, left, {"left_micro": left_micro + added.amount_micro}, added)
        return added


@dataclass(frozen=True, slots=True)
class Reverse(_OfCharge):
    """See `serving.ledger.Ledger.reverse`."""

    def do(self, work: UnitOfWork) -> Entry:
        charge = self.charge.entry
        for entry in self._given_back(work):
            if entry.kind == "reversal":
                raise LedgerError(
                    f"Charge {charge.number} was already reversed, by entry {entry.number}."
                )
            raise LedgerError(
                f"A part of charge {charge.number} was already refunded, by entry "
                f"{entry.number}. Refund the rest instead."
            )
        return self._give_back(
            work,
            replace(
                charge,
                kind="reversal",
                input_tokens=-charge.input_tokens,
                cached_tokens=-charge.cached_tokens,
                output_tokens=-charge.output_tokens,
                amount_micro=-charge.amount_micro,
                parts=parts_to_text(part.negative() for part in parts_from_text(charge.parts)),
            ),
            charge.amount_micro,
        )


@dataclass(frozen=True, slots=True)
class Refund(_OfCharge):
    """See `serving.ledger.Ledger.refund`."""

    amount_micro: int | None
    tokens: Mapping[Meter, int] | None

    def do(self, work: UnitOfWork) -> Entry:
        left = what_is_left(self.charge.entry, self._given_back(work))
        taken = self._taken(left)
        return self._give_back(
            work,
            replace(
                self.charge.entry,
                kind="refund",
                input_tokens=-taken.input_tokens,
                cached_tokens=-taken.cached_tokens,
                output_tokens=-taken.output_tokens,
                amount_micro=-taken.amount_micro,
                parts=parts_to_text(part.negative() for part in taken.parts),
            ),
            left.amount_micro,
        )

    def _taken(self, left: Refunded) -> Refunded:
        if self.amount_micro is not None:
            return refund_of_amount(left, self.amount_micro)
        if self.tokens is not None:
            return refund_of_tokens(left, self.tokens)
        return refund_of_rest(left)


@dataclass(frozen=True, slots=True)
class TopUp:
    """See `serving.ledger.Ledger.top_up`.

    Attributes:
      request_id: of its own: with the same one it is added once.
      record: makes the audit log's row, of the tenant's credit; None: there is none.
    """

    on_disk: ClassVar[bool] = True
    tenant: str
    request_id: str
    amount_micro: int
    currency: str
    reason: str
    made_by: str
    record: Record | None

    def want(self, wanted: Wanted) -> None:
        wanted.tenants.add(self.tenant)

    def do(self, work: UnitOfWork) -> Entry:
        left = work.budgets.left_micro(self.tenant)
        if not -(left or 0) <= self.amount_micro <= MAX_INTEGER // 2:
            raise LedgerError(
                f"{left or 0} millionths of the tenant's credit are left. A top-up must be of "
                f"0 or more, or pay at most those back. Received: {self.amount_micro}"
            )
        before = _credit(work, self.tenant)
        added = work.append(
            Entry(
                tenant=self.tenant,
                number=0,
                kind="top_up",
                request_id=self.request_id,
                request_hash="",
                model="",
                model_version="",
                tokenizer_fingerprint="",
                contract_version=0,
                input_tokens=0,
                cached_tokens=0,
                output_tokens=0,
                finish_reasons="",
                latency_ms=0,
                amount_micro=-self.amount_micro,
                currency=self.currency,
                price_id="",
                reason=self.reason,
                created_at=work.now(),
                previous_hash="",
                hash="",
                month=f"{work.now():%Y-%m}",
                made_by=self.made_by,
            )
        )
        _record(work, self.record, before, _credit(work, self.tenant), added)
        return added


def _credit(work: UnitOfWork, tenant: str) -> State:
    """What a tenant has paid in advance and is not charged, for the audit log."""
    credit = work.budgets.credit(tenant)
    if credit is None:
        return NOTHING
    return {"credit_micro": credit.bought_micro - credit.used_micro}


def _record(
    work: UnitOfWork, record: Record | None, before: State, after: State, entry: Entry
) -> None:
    if record is not None:
        of_entry = {"entry": entry.number, "reason": entry.reason}
        work.changes.audited.append(record(before, {**after, **of_entry}))
