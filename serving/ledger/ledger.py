"""Reserve, then settle or release: the life of a request in the ledger."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa

from serving.ledger.audit_log import Record
from serving.ledger.authentication import LedgerKey
from serving.ledger.charges import find_charge
from serving.ledger.clock import Clock, utc_now
from serving.ledger.corrections import Refund, Reverse, TopUp, check_said
from serving.ledger.database import retrying
from serving.ledger.deliveries import MarkDelivered, MarkUndelivered
from serving.ledger.errors import LedgerError
from serving.ledger.leases import Lease
from serving.ledger.operations import (
    Operation,
    Outcome,
    Release,
    Reserve,
    Settle,
)
from serving.ledger.parts import Meter
from serving.ledger.probe import WriteProbe
from serving.ledger.records import (
    Charge,
    Entry,
    Pricing,
    Replay,
    Reservation,
    Reserved,
    Undelivered,
    Usage,
)
from serving.ledger.retention import KEEP, Retention
from serving.ledger.sql import Statements
from serving.ledger.transactions import transaction
from serving.ledger.unit_of_work import UnitOfWork
from serving.ledger.usage import MonthUsage, usage_of_month
from serving.ledger.wanted import Wanted

Result = TypeVar("Result")


class Ledger:
    """The ledger of all tenants. Safe for use by many threads and processes at once."""

    def __init__(
        self,
        engine: sa.Engine,
        owner: Lease | str,
        clock: Clock = utc_now,
        retention: Retention = KEEP,
        key: LedgerKey | None = None,
    ) -> None:
        """
        Args:
          engine: from `serving.ledger.opening.open_ledger`.
          owner: the lease of this process, which has begun: what it leaves reserved is released
            when it has ended. A name will do for who reserves nothing.
          clock: UTC.
          retention: how long answers are kept.
          key: to authenticate entries with; None: they are not.
        """
        self.engine = engine
        self._retention = retention
        self._key = key
        self._probe = WriteProbe(engine)
        self._owner = owner
        self._clock = clock
        self._statements = Statements(engine.dialect)

    def reserve(self, reservation: Reservation) -> Reserved | Replay | Undelivered:
        """Reserve the most that a request can cost.

        Returns:
          That it may run; or, where the same request has been answered before, its answer: by
          its key, or because it was not delivered.

        Raises:
          BudgetExceededError: it could cost more than is left.
          CreditExhaustedError: it could cost more than is left of what was paid in advance.
          IdempotencyConflictError: its key was used for another body.
          RequestInProgressError: the same request is under way.
          UndeliveredInProgressError: an identical one is, whose client went away.
          AnswerExpiredError: it was charged, and its answer is no longer kept.
          TooManyAtOnceError: as are as many as may be.
          LedgerError: the request's id is taken.
        """
        return self._do(Reserve(reservation))

    def settle(
        self, request_id: str, usage: Usage, charge: Charge | Pricing, answer: bytes
    ) -> Entry:
        """Charge a request for what it used, and keep its answer.

        Settling a request again that is settled, which happens where the first answer of the
        database was lost, changes nothing and returns its entry.

        Args:
          charge: what it costs; or what says so, given what the tenant's month has used of the
            model by the entries before this one, while nobody else can add any.

        Raises:
          UnknownRequestError: nothing was reserved for it.
          ReservationLostError: what was reserved for it has been released.
          LedgerError: the charge is more than was reserved, or its parts are not of the tokens
            used.
        """
        return self._do(Settle(request_id, usage, charge, answer))

    def delivered(self, request_id: str) -> None:
        """Forget the answer of a request without a key: its client has it."""
        self._do(MarkDelivered((request_id,)))

    def undelivered(self, request_id: str) -> bool:
        """Keep the answer of a request for the next one that is identical: its client went
        away, before or after it was settled.

        Args:
          request_id: that was reserved; or that of an `Undelivered`, which could not be
            delivered this time, either.

        Returns:
          Whether it is kept: not that of a request with a key, which has it by its key, nor of
          one without a route, nor of one that is released.

        Raises:
          UnknownRequestError: there is no such request.
        """
        return self._do(MarkUndelivered(request_id))

    def release(self, request_id: str) -> bool:
        """Give a request's reservation back: it cost nothing. Its key may be used again.

        Returns:
          False where nothing was reserved for it any more.
        """
        return self._do(Release(request_id))

    def reverse(
        self,
        tenant: str,
        number: int,
        reason: str,
        made_by: str,
        record: Record | None = None,
        archives: Path | None = None,
    ) -> Entry:
        """Take a charge back by an entry of its negatives.

        Args:
          number: of the charge's entry.
          reason: for whoever reads the ledger.
          made_by: the person or program that does it.
          record: makes the row of the audit log that is written with it; None for none.
          archives: folder of the archives, for a charge that is archived.

        Raises:
          LedgerError: there is no such charge, it is reversed already, it is archived and the
            archives are not all there, or it is not said why and by whom.
        """
        check_said("reversal", reason, made_by)
        charge = find_charge(self.engine, tenant, number, archives)
        return self._do(Reverse(charge, reason, made_by, record))

    def refund(
        self,
        tenant: str,
        number: int,
        reason: str,
        made_by: str,
        *,
        amount_micro: int | None = None,
        tokens: Mapping[Meter, int] | None = None,
        record: Record | None = None,
        archives: Path | None = None,
    ) -> Entry:
        """Give a part of a charge back: an amount, or tokens, or all that is left.

        Args:
          number: of the charge's entry.
          reason, made_by, record, archives: as of `reverse`.
          amount_micro: in millionths; it gives no tokens back to the month.
          tokens: how many of each meter, from the charge's highest tier down.

        Raises:
          LedgerError: as of `reverse`; or not so much is left of it, or both an amount and
            tokens are given.
        """
        check_said("refund", reason, made_by)
        if amount_micro is not None and tokens is not None:
            raise LedgerError("A refund is of an amount or of tokens. Received: both.")
        charge = find_charge(self.engine, tenant, number, archives)
        return self._do(Refund(charge, reason, made_by, record, amount_micro, tokens))

    def top_up(
        self,
        tenant: str,
        amount_micro: int,
        currency: str,
        reason: str,
        made_by: str,
        request_id: str | None = None,
        record: Record | None = None,
    ) -> Entry:
        """Add to what a tenant has paid in advance. From its first top-up on, the tenant is
        refused when its credit is used up.

        Args:
          amount_micro: in millionths; 0 to have a tenant pay in advance who has not paid yet;
            negative to pay back what is left.
          currency: ISO 4217; that of the prices.
          reason, made_by, record: as of `reverse`.
          request_id: unique for ever; with the same one it is added once. None: a new one.

        Raises:
          LedgerError: more is paid back than is left, the request's id is taken, or it is not
            said why and by whom.
        """
        check_said("top-up", reason, made_by)
        request_id = request_id or f"top-up-{uuid.uuid4().hex}"
        asked = TopUp(tenant, request_id, amount_micro, currency, reason, made_by, record)
        try:
            return self._do(asked)
        except sa.exc.IntegrityError:
            raise LedgerError(f"The top-up {request_id} is already in the ledger.") from None

    def check_writable(self) -> None:
        """See `serving.ledger.probe.WriteProbe.check`: for whether a gateway is ready."""
        self._probe.check()

    def usage(self, tenant: str, month: str) -> MonthUsage:
        """See `serving.ledger.usage.usage_of_month`."""
        return usage_of_month(self.engine, tenant, month)

    def write(
        self, connection: sa.Connection, operations: Sequence[Operation[Any]]
    ) -> list[Outcome]:
        """Do operations in one transaction, in their order.

        Returns:
          An outcome for each. One that is refused changes nothing, and nothing for the others.

        Raises:
          Exception: anything but a refusal; then none of them is done. Where the transaction
            could not be committed, only the ledger can tell whether they are.
        """
        wanted = Wanted()
        for operation in operations:
            operation.want(wanted)
        owner = self._owner_of(operations)
        on_disk = any(operation.on_disk for operation in operations)
        with transaction(connection, on_disk) as driver:
            work = UnitOfWork(
                driver, self._statements, owner, self._clock, self._retention, self._key
            )
            work.read(wanted)
            outcomes = [_outcome(operation, work) for operation in operations]
            work.write()
        return outcomes

    def write_alone(self, connection: sa.Connection, operation: Operation[Any]) -> Outcome:
        """Do one operation in a transaction of its own.

        Raises:
          Exception: as `write`; but an id that is taken is a refusal.
        """
        try:
            (outcome,) = self.write(connection, [operation])
        except sa.exc.IntegrityError:
            if not isinstance(operation, Reserve):
                raise
            taken = operation.reservation.request_id
            return Outcome(
                error=LedgerError(f"The request id {taken} is already used. Use a new one.")
            )
        return outcome

    def _owner_of(self, operations: Sequence[Operation[Any]]) -> str:
        """Whose reservations these are: for sure, even if this process was stopped for long."""
        if isinstance(self._owner, str):
            return self._owner
        if any(isinstance(operation, Reserve) for operation in operations):
            self._owner.assure()
        return self._owner.id

    def _do(self, operation: Operation[Result]) -> Result:
        def once() -> Outcome:
            with self.engine.connect() as connection:
                return self.write_alone(connection, operation)

        outcome = retrying()(once)
        if outcome.error is not None:
            raise outcome.error
        result: Result = outcome.value
        return result


def _outcome(operation: Operation[Any], work: UnitOfWork) -> Outcome:
    try:
        return Outcome(operation.do(work))
    except LedgerError as error:
        return Outcome(error=error)
