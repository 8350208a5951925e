"""Reserve, then settle or release: the life of a request in the ledger."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any, TypeVar

import sqlalchemy as sa

from serving.ledger import rows, schema
from serving.ledger import statements as st
from serving.ledger.database import retrying, writing
from serving.ledger.parts import parts_to_text
from serving.ledger.records import (
    BudgetExceededError,
    Charge,
    Entry,
    IdempotencyConflictError,
    LedgerError,
    Pricing,
    Replay,
    RequestInProgressError,
    Reservation,
    Reserved,
    TooManyAtOnceError,
    UnknownRequestError,
    Usage,
)
from serving.ledger.rows import RELEASED, RESERVED, SETTLED

Clock = Callable[[], datetime.datetime]
T = TypeVar("T")


def utc_now() -> datetime.datetime:
    """Now, UTC, without a zone, as the ledger keeps times."""
    return datetime.datetime.now(datetime.UTC).replace(tzinfo=None)


class Ledger:
    """The ledger of all tenants. Safe for use by many threads and processes at once."""

    def __init__(self, engine: sa.Engine, owner: str, clock: Clock = utc_now) -> None:
        """
        Args:
          engine: from `serving.ledger.database.open_database`, its tables up to date.
          owner: name of this process, unique for ever: what it leaves reserved is found by it.
          clock: UTC.
        """
        self.engine = engine
        self.owner = owner
        self.clock = clock

    def reserve(self, reservation: Reservation) -> Reserved | Replay:
        """Reserve the most that a request can cost.

        Returns:
          That it may run; or, where the same request has been answered before, its answer.

        Raises:
          BudgetExceededError: it could cost more than is left.
          IdempotencyConflictError: its key was used for another body.
          RequestInProgressError: the same request is under way.
          TooManyAtOnceError: as are as many as may be.
          LedgerError: the request's id is taken.
        """
        return self._write(lambda connection: self._reserve(connection, reservation))

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
          UnknownRequestError: nothing is reserved for it.
          LedgerError: the charge is more than was reserved, or its parts are not of the tokens
            used.
        """
        return self._write(
            lambda connection: self._settle(connection, request_id, usage, charge, answer)
        )

    def release(self, request_id: str) -> bool:
        """Give a request's reservation back: it cost nothing. Its key may be used again.

        Returns:
          False where nothing was reserved for it any more.
        """
        return self._write(lambda connection: self._release(connection, request_id))

    def reverse(self, tenant: str, number: int, reason: str) -> Entry:
        """Take a charge back by an entry of its negatives.

        Args:
          number: of the charge's entry.
          reason: for whoever reads the ledger.

        Raises:
          LedgerError: there is no such charge, or it is reversed already.
        """
        return self._write(lambda connection: self._reverse(connection, tenant, number, reason))

    # In a transaction.

    def _reserve(
        self, connection: sa.Connection, reservation: Reservation
    ) -> Reserved | Replay:
        now = self.clock()
        month = f"{now:%Y-%m}"
        # The tenant's lock comes first, so that two requests of one key meet here, in the
        # night in which a month ends, too.
        account = rows.locked_account(connection, reservation.tenant, month)
        if reservation.idempotency_key is not None:
            earlier = connection.execute(
                st.FIND_KEY,
                {"of_tenant": reservation.tenant, "of_key": reservation.idempotency_key},
            ).one_or_none()
            if earlier is not None:
                return self._again(connection, reservation, earlier)
        used = account.spent_micro + account.reserved_micro
        budget = reservation.budget_micro
        if budget is not None and used + reservation.amount_micro > budget:
            raise BudgetExceededError(budget, used, reservation.amount_micro)
        self._check_concurrency(connection, reservation)
        try:
            connection.execute(
                st.ADD_REQUEST,
                {
                    "request_id": reservation.request_id,
                    "tenant": reservation.tenant,
                    "idempotency_key": reservation.idempotency_key,
                    "request_hash": reservation.request_hash,
                    "state": RESERVED,
                    "month": month,
                    "reserved_micro": reservation.amount_micro,
                    "owner": self.owner,
                    "created_at": now,
                },
            )
        except sa.exc.IntegrityError:
            raise LedgerError(
                f"The request id {reservation.request_id} is taken. Make a new one."
            ) from None
        rows.add_to_account(
            connection, reservation.tenant, month, reserved=reservation.amount_micro
        )
        return Reserved(reservation.request_id, reservation.amount_micro)

    def _check_concurrency(self, connection: sa.Connection, reservation: Reservation) -> None:
        if reservation.max_concurrent is None:
            return
        under_way = connection.execute(
            sa.select(sa.func.count()).where(
                schema.requests.c.tenant == reservation.tenant,
                schema.requests.c.state == RESERVED,
            )
        ).scalar_one()
        if under_way >= reservation.max_concurrent:
            raise TooManyAtOnceError(
                f"{under_way} requests are under way. Expected: at most "
                f"{reservation.max_concurrent} at a time. Wait until one is answered."
            )

    def _again(
        self, connection: sa.Connection, reservation: Reservation, earlier: sa.Row[Any]
    ) -> Replay:
        if earlier.request_hash != reservation.request_hash:
            raise IdempotencyConflictError(
                f"The idempotency key {reservation.idempotency_key!r} belongs to a request "
                "with another body. Use a new key for another request."
            )
        if earlier.state == RESERVED:
            raise RequestInProgressError(
                f"The request with the idempotency key {reservation.idempotency_key!r} is "
                "under way. Ask again in a moment."
            )
        answer = connection.execute(
            sa.select(schema.answers.c.answer).where(
                schema.answers.c.request_id == earlier.request_id
            )
        ).scalar_one()
        return Replay(earlier.request_id, answer)

    def _settle(
        self,
        connection: sa.Connection,
        request_id: str,
        usage: Usage,
        charge: Charge | Pricing,
        answer: bytes,
    ) -> Entry:
        request = rows.locked_request(connection, request_id)
        if request.state == SETTLED:
            return rows.charge_of(connection, request_id)
        if request.state != RESERVED:
            raise UnknownRequestError(
                f"The request {request_id} was released. It cannot be charged any more."
            )
        chain = rows.locked_chain(connection, request.tenant)
        before = rows.tokens_before(connection, request.tenant, request.month, usage.model)
        charge = rows.priced(request, usage, charge, before)
        entry = rows.append_entry(
            connection,
            Entry(
                tenant=request.tenant,
                number=0,
                kind="charge",
                request_id=request_id,
                request_hash=request.request_hash,
                **asdict(usage),
                amount_micro=charge.amount_micro,
                currency=charge.currency,
                price_id=charge.price_id,
                parts=parts_to_text(charge.parts),
                reason="",
                created_at=self.clock(),
                previous_hash="",
                hash="",
                month=request.month,
                **rows.before_of(before),
            ),
            chain,
        )
        connection.execute(st.ADD_ANSWER, {"request_id": request_id, "answer": answer})
        rows.end_request(connection, request, SETTLED)
        # The month of the reservation pays: that is whose budget was looked at.
        rows.add_to_account(
            connection,
            request.tenant,
            request.month,
            spent=charge.amount_micro,
            reserved=-request.reserved_micro,
        )
        return entry

    def _release(self, connection: sa.Connection, request_id: str) -> bool:
        request = rows.locked_request(connection, request_id)
        if request.state != RESERVED:
            return False
        rows.end_request(connection, request, RELEASED)
        rows.add_to_account(
            connection, request.tenant, request.month, reserved=-request.reserved_micro
        )
        return True

    def _reverse(
        self, connection: sa.Connection, tenant: str, number: int, reason: str
    ) -> Entry:
        found = connection.execute(
            sa.select(schema.entries).where(
                schema.entries.c.tenant == tenant, schema.entries.c.number == number
            )
        ).one_or_none()
        if found is None or found.kind != "charge":
            raise LedgerError(f"The tenant {tenant} has no charge of the number {number}.")
        charge = Entry(**found._mapping)
        request = rows.locked_request(connection, charge.request_id)
        reversed_before = sa.select(schema.entries.c.number).where(
            schema.entries.c.request_id == charge.request_id,
            schema.entries.c.kind == "reversal",
        )
        if (before := connection.execute(reversed_before).scalar()) is not None:
            raise LedgerError(f"Charge {number} is reversed already, by entry {before}.")
        chain = rows.locked_chain(connection, tenant)
        before = rows.tokens_before(connection, tenant, request.month, charge.model)
        reversal = rows.reversal_of(charge, request.month, before)
        reversal = replace(reversal, reason=reason, created_at=self.clock())
        entry = rows.append_entry(connection, reversal, chain)
        rows.add_to_account(connection, tenant, request.month, spent=-charge.amount_micro)
        return entry

    def _write(self, work: Callable[[sa.Connection], T]) -> T:
        def once() -> T:
            with writing(self.engine) as connection:
                return work(connection)

        return retrying()(once)
