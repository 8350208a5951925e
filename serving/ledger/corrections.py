"""What people add to a chain: reversals and refunds of charges, top-ups of credit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

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
from serving.ledger.unit_of_work import UnitOfWork
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
      charge: as it is in the ledger, where it never changes.
      reason, made_by: why a part of it or all is given back, and who does it.
    """

    on_disk: ClassVar[bool] = True
    charge: Entry
    reason: str
    made_by: str

    def want(self, wanted: Wanted) -> None:
        wanted.request_ids.add(self.charge.request_id)
        wanted.models.add(self.charge.model)

    def _give_back(self, work: UnitOfWork, entry: Entry) -> Entry:
        """
        Args:
          entry: with its counts, amount, kind and parts.
        """
        request = work.request(self.charge.request_id)
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
        return work.append(given_back)


@dataclass(frozen=True, slots=True)
class Reverse(_OfCharge):
    """See `serving.ledger.Ledger.reverse`."""

    def do(self, work: UnitOfWork) -> Entry:
        charge = self.charge
        for entry in work.given_back(charge.request_id):
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
        )


@dataclass(frozen=True, slots=True)
class Refund(_OfCharge):
    """See `serving.ledger.Ledger.refund`."""

    amount_micro: int | None
    tokens: Mapping[Meter, int] | None

    def do(self, work: UnitOfWork) -> Entry:
        taken = self._taken(what_is_left(self.charge, work.given_back(self.charge.request_id)))
        return self._give_back(
            work,
            replace(
                self.charge,
                kind="refund",
                input_tokens=-taken.input_tokens,
                cached_tokens=-taken.cached_tokens,
                output_tokens=-taken.output_tokens,
                amount_micro=-taken.amount_micro,
                parts=parts_to_text(part.negative() for part in taken.parts),
            ),
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
    """

    on_disk: ClassVar[bool] = True
    tenant: str
    request_id: str
    amount_micro: int
    currency: str
    reason: str
    made_by: str

    def want(self, wanted: Wanted) -> None:
        wanted.tenants.add(self.tenant)

    def do(self, work: UnitOfWork) -> Entry:
        left = work.budgets.left_micro(self.tenant)
        if not -(left or 0) <= self.amount_micro <= MAX_INTEGER // 2:
            raise LedgerError(
                f"{left or 0} millionths of the tenant's credit are left. A top-up must be of "
                f"0 or more, or pay at most those back. Received: {self.amount_micro}"
            )
        return work.append(
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
