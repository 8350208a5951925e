"""What may be done to a request: reserve, then settle or release.

Each looks first and changes only then, so that one that fails leaves nothing behind and the
others of its group are as if it had never been. `on_disk` says whether it must be there when
it is told.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, TypeVar

from serving.ledger.changes import Request
from serving.ledger.errors import (
    AnswerExpiredError,
    BudgetExceededError,
    CreditExhaustedError,
    IdempotencyConflictError,
    KeyBudgetExceededError,
    LedgerError,
    RequestInProgressError,
    ReservationLostError,
    TooManyAtOnceError,
    UndeliveredInProgressError,
)
from serving.ledger.parts import METERS, tokens_of
from serving.ledger.records import (
    Charge,
    Entry,
    KeyBudget,
    Pricing,
    Replay,
    Reservation,
    Reserved,
    Undelivered,
    Usage,
)
from serving.ledger.schema import RELEASED, RESERVED, SETTLED
from serving.ledger.unit_of_work import UnitOfWork
from serving.ledger.wanted import Wanted

Result = TypeVar("Result", covariant=True)


class Operation(Protocol[Result]):
    """What may be done, and what it returns."""

    on_disk: ClassVar[bool]

    def want(self, wanted: Wanted) -> None:
        """Say what `do` will look up."""

    def do(self, work: UnitOfWork) -> Result:
        """
        Raises:
          LedgerError: it is refused; nothing is changed.
        """


@dataclass(frozen=True, slots=True)
class Reserve:
    """See `serving.ledger.Ledger.reserve`.

    Alone, it need not be on the disk before the model is asked: its charge brings it there, in
    the same log and before the answer leaves. Where the machine ends before that, nobody has an
    answer, and the next start would have released it.
    """

    on_disk: ClassVar[bool] = False
    reservation: Reservation

    def want(self, wanted: Wanted) -> None:
        asked = self.reservation
        wanted.tenants.add(asked.tenant)
        if asked.idempotency_key is not None:
            wanted.keyed.add(asked.tenant)
            wanted.keys.add(asked.idempotency_key)
        if asked.budget_micro is not None:
            wanted.budgeted.add(asked.tenant)
        if asked.key_id is not None and asked.key_budget_micro is not None:
            wanted.key_tenants.add(asked.tenant)
            wanted.key_ids.add(asked.key_id)
        if asked.max_concurrent is not None:
            wanted.counted.add(asked.tenant)
        if asked.route is not None and asked.idempotency_key is None:
            wanted.unkeyed.add(asked.tenant)
            wanted.hashes.add(asked.request_hash)

    def do(self, work: UnitOfWork) -> Reserved | Replay | Undelivered:
        asked, key_budget = self.reservation, self._key_budget(work)
        if asked.idempotency_key is not None:
            earlier = work.request_of_key(asked.tenant, asked.idempotency_key)
            if earlier is not None:
                return Replay(earlier.request_id, self._again(work, earlier), key_budget)
        elif asked.route is not None:
            undelivered = self._undelivered(work, asked.route)
            if undelivered is not None:
                return Undelivered(*undelivered, key_budget)
        self._check_budget(work, key_budget)
        self._check_concurrency(work)
        work.reserve(asked)
        return Reserved(asked.request_id, asked.amount_micro, key_budget)

    def _key_budget(self, work: UnitOfWork) -> KeyBudget | None:
        key_id, limit = self.reservation.key_id, self.reservation.key_budget_micro
        if key_id is None or limit is None:
            return None
        return KeyBudget(limit, work.used_of_key_micro(key_id), work.month_ends_in_s())

    def _check_budget(self, work: UnitOfWork, of_key: KeyBudget | None) -> None:
        budget, amount = self.reservation.budget_micro, self.reservation.amount_micro
        credit = work.budgets.left_micro(self.reservation.tenant)
        # A request that can cost nothing needs some credit all the same.
        if credit is not None and (amount > credit or credit <= 0):
            raise CreditExhaustedError(credit, amount)
        if budget is not None:
            used = work.used_micro(self.reservation.tenant)
            if used + amount > budget:
                raise BudgetExceededError(budget, used, amount)
        if of_key is not None and of_key.used_micro + amount > of_key.limit_micro:
            raise KeyBudgetExceededError(of_key, amount)

    def _check_concurrency(self, work: UnitOfWork) -> None:
        most = self.reservation.max_concurrent
        if most is None:
            return
        under_way = work.under_way(self.reservation.tenant)
        if under_way >= most:
            raise TooManyAtOnceError(
                f"{under_way} requests are running. Expected: at most {most} at the same "
                "time. Wait until one is completed."
            )

    def _again(self, work: UnitOfWork, earlier: Request) -> bytes:
        """The answer of an earlier request with the same key."""
        key = self.reservation.idempotency_key
        if earlier.request_hash != self.reservation.request_hash:
            raise IdempotencyConflictError(
                f"The idempotency key {key!r} belongs to a request with another body. Use a "
                "new key for another request."
            )
        if earlier.state == RESERVED:
            raise RequestInProgressError(
                f"The request with the idempotency key {key!r} is still running. Try again "
                "in a moment."
            )
        answer = work.answer(earlier.request_id)
        if answer is None:
            raise AnswerExpiredError(
                f"The request with the idempotency key {key!r} was charged, and its answer is "
                "no longer kept. It is not charged again. To have it computed and charged "
                "anew, use a new key."
            )
        return answer

    def _undelivered(self, work: UnitOfWork, route: str) -> tuple[str, bytes] | None:
        """The id and the answer of a request whose client went away."""
        asked, answers = self.reservation, work.undelivered
        while (kept := answers.find(asked.tenant, asked.request_hash, route)) is not None:
            if not kept.computed:
                raise UndeliveredInProgressError(
                    "The same request, whose client went away, is still computed. Its answer "
                    "belongs to this one: try again in a moment."
                )
            answer = answers.take(kept)
            if answer is not None:
                return kept.request_id, answer
        return None


@dataclass(frozen=True, slots=True)
class Settle:
    """See `serving.ledger.Ledger.settle`."""

    on_disk: ClassVar[bool] = True
    request_id: str
    usage: Usage
    charge: Charge | Pricing
    answer: bytes

    def want(self, wanted: Wanted) -> None:
        wanted.request_ids.add(self.request_id)
        wanted.models.add(self.usage.model)

    def do(self, work: UnitOfWork) -> Entry:
        request = work.request(self.request_id)
        if request.state == SETTLED:
            return work.charge(self.request_id)
        if request.state != RESERVED:
            raise ReservationLostError(
                f"The request {self.request_id} was released and can no longer be charged: "
                "this process did not renew its lease in time. Nothing is charged. Send the "
                "request again."
            )
        return work.settle(request, self.usage, self._priced(work, request), self.answer)

    def _priced(self, work: UnitOfWork, request: Request) -> Charge:
        """
        Raises:
          LedgerError: it is more than was reserved, or its parts are not of the tokens used.
        """
        usage, charge = self.usage, self.charge
        if not isinstance(charge, Charge):
            before = work.tokens_before(request.tenant, request.month, usage.model)
            charge = charge(usage, before)
        if charge.amount_micro > request.reserved_micro:
            raise LedgerError(
                f"The request {self.request_id} costs {charge.amount_micro} millionths. "
                f"Expected: at most the {request.reserved_micro} that are reserved for it."
            )
        of_parts = tuple(tokens_of(charge.parts, meter) for meter in METERS)
        cached = usage.cached_tokens
        used = (usage.input_tokens - cached, cached, usage.output_tokens)
        if charge.parts and of_parts != used:
            raise LedgerError(
                f"The request {self.request_id} used {used} tokens ({', '.join(METERS)}). Its "
                f"charge is of {of_parts}."
            )
        return charge


@dataclass(frozen=True, slots=True)
class Release:
    """See `serving.ledger.Ledger.release`."""

    on_disk: ClassVar[bool] = True
    request_id: str

    def want(self, wanted: Wanted) -> None:
        wanted.request_ids.add(self.request_id)

    def do(self, work: UnitOfWork) -> bool:
        request = work.request(self.request_id)
        if request.state != RESERVED:
            return False
        work.end(request, RELEASED)
        return True


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an operation returned, or what it raised."""

    value: Any = None
    error: Exception | None = None
