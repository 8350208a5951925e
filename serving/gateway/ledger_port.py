"""The ledger as the service sees it: refusals as the client gets them, outages survived.

Everything that a request asks of the ledger passes through here.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Protocol

from serving.gateway.errors import GatewayError, overloaded
from serving.gateway.ledger_outages import (
    OUTAGES,
    SETTLE_FOR_S,
    Background,
    is_outage,
    through_outages,
)
from serving.gateway.ports import Quota
from serving.ledger import (
    AnswerExpiredError,
    BudgetExceededError,
    CreditExhaustedError,
    Entry,
    IdempotencyConflictError,
    KeyBudgetExceededError,
    Pricing,
    Replay,
    RequestInProgressError,
    Reservation,
    ReservationLostError,
    Reserved,
    TooManyAtOnceError,
    Undelivered,
    UndeliveredInProgressError,
    UnknownRequestError,
    Usage,
)

_LOG = logging.getLogger(__name__)

BUDGET_LEFT: Final = "x-ratelimit-remaining-budget-micro"
WAIT_FOR_ANSWER_S: Final = 60.0
"""How long a request waits for an answer that is computed for nobody else: as long as for a
model."""
_FIRST_PAUSE_S: Final = 0.05
_LONGEST_PAUSE_S: Final = 1.0
_REFUSALS: Final = (
    BudgetExceededError,
    CreditExhaustedError,
    TooManyAtOnceError,
    IdempotencyConflictError,
    AnswerExpiredError,
    RequestInProgressError,
)


class LedgerClient(Protocol):
    """What writes: `serving.ledger.group_commit.GroupCommit`, or what wraps it."""

    async def reserve(self, reservation: Reservation) -> Reserved | Replay | Undelivered: ...

    async def settle(
        self, request_id: str, usage: Usage, charge: Pricing, answer: bytes
    ) -> Entry: ...

    async def release(self, request_id: str) -> bool: ...

    def delivered(self, request_id: str) -> None: ...

    async def undelivered(self, request_id: str) -> bool: ...


class GatewayLedger:
    """The `LedgerPort` of the service."""

    def __init__(self, ledger: LedgerClient, settle_for_s: float = SETTLE_FOR_S) -> None:
        """
        Args:
          settle_for_s: how long a response waits for the ledger while its database is out.
        """
        self._ledger = ledger
        self._settle_for_s = settle_for_s
        self._background = Background()

    async def reserve(self, reservation: Reservation) -> Reserved | Replay | Undelivered:
        """Reserve the most that a request can cost. An answer that belongs to it, because an
        identical request's client went away, is waited for while it is computed.

        Raises:
          GatewayError: 409 or 429, the ledger refuses; 503, its database is out.
        """
        until, pause_s = time.monotonic() + WAIT_FOR_ANSWER_S, _FIRST_PAUSE_S
        while True:
            try:
                return await self._reserve(reservation)
            except UndeliveredInProgressError as error:
                if time.monotonic() + pause_s > until:
                    raise _refusal(error) from None
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    async def _reserve(self, reservation: Reservation) -> Reserved | Replay | Undelivered:
        with outages_refused():
            try:
                return await self._ledger.reserve(reservation)
            except UndeliveredInProgressError:
                raise
            except _REFUSALS as error:
                raise _refusal(error) from None
            except OUTAGES:
                # Nobody knows whether it was written: if so, it must not stay.
                self._release_later(reservation.request_id)
                raise

    async def settle(
        self, request_id: str, usage: Usage, pricing: Pricing, response: bytes
    ) -> Entry:
        """Charge a request, however long the database takes to come back, within reason.

        Raises:
          GatewayError: 503, it was still out, or the reservation was lost with its lease.
        """

        # Settling twice is settling once; and the work is done, whatever the database does.
        async def settle() -> Entry:
            return await self._ledger.settle(request_id, usage, pricing, response)

        with outages_refused():
            try:
                return await through_outages(settle, self._settle_for_s)
            except ReservationLostError as error:
                raise GatewayError(
                    503, str(error), "server_error", "reservation_lost", retry_after_s=1
                ) from None

    def delivered(self, request_id: str) -> None:
        """The client has the answer. It is written soon, with others."""
        self._ledger.delivered(request_id)

    async def undelivered(self, request_id: str) -> None:
        """The client has gone: its answer is for the next identical request; marked now, or,
        where the database is out, as soon as it answers."""
        try:
            await self._undelivered(request_id)
        except OUTAGES as error:
            if not is_outage(error):
                raise
            self._background.start(
                through_outages(lambda: self._undelivered(request_id), float("inf"))
            )

    async def _undelivered(self, request_id: str) -> None:
        try:
            await self._ledger.undelivered(request_id)
        except UnknownRequestError:
            _LOG.debug("Nothing is reserved for the request %s yet", request_id)

    async def release(self, request_id: str) -> None:
        """Release a request, unless it is settled or was never reserved; now, or, where the
        database is out, as soon as it answers."""
        try:
            await self._release(request_id)
        except OUTAGES as error:
            if not is_outage(error):
                raise
            self._release_later(request_id)

    def _release_later(self, request_id: str) -> None:
        self._background.start(self._release_through_outages(request_id))

    async def _release_through_outages(self, request_id: str) -> None:
        try:
            await through_outages(lambda: self._release(request_id), float("inf"))
        except Exception:
            # Nobody waits for this task. The next start releases what is left.
            _LOG.exception(
                "The reservation of the request %s could not be released and stays", request_id
            )

    async def _release(self, request_id: str) -> None:
        try:
            await self._ledger.release(request_id)
        except UnknownRequestError:
            _LOG.debug("Nothing was reserved for the request %s", request_id)


@contextmanager
def outages_refused() -> Iterator[None]:
    """Around a call to the ledger's database.

    Raises:
      GatewayError: 503, the database is out.
    """
    try:
        yield
    except OUTAGES as error:
        if not is_outage(error):
            raise
        raise overloaded(
            "The ledger cannot be reached or written. Try again in a moment with the same "
            "idempotency key: the request is charged once."
        ) from error


def _refusal(error: Exception) -> GatewayError:
    """What the client gets where the ledger reserves nothing."""
    what = str(error)
    if isinstance(error, BudgetExceededError):
        left = max(0, error.budget_micro - error.used_micro)
        return GatewayError(
            429,
            what,
            "insufficient_quota",
            "insufficient_quota",
            limit="budget",
            headers={BUDGET_LEFT: str(left)},
            quota=Quota(
                key_budget=error.budget if isinstance(error, KeyBudgetExceededError) else None
            ),
        )
    if isinstance(error, CreditExhaustedError):
        return GatewayError(
            429,
            what,
            "insufficient_quota",
            "insufficient_quota",
            limit="credit",
            headers={BUDGET_LEFT: str(max(0, error.left_micro))},
        )
    if isinstance(error, TooManyAtOnceError):
        return GatewayError(
            429,
            what,
            "rate_limit_error",
            "too_many_at_once",
            retry_after_s=1,
            limit="concurrency",
        )
    if isinstance(error, IdempotencyConflictError):
        return GatewayError(409, what, code="idempotency_key_reused", param="Idempotency-Key")
    if isinstance(error, AnswerExpiredError):
        return GatewayError(409, what, code="answer_expired", param="Idempotency-Key")
    return GatewayError(409, what, code="request_in_progress", retry_after_s=1)
