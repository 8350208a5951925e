"""Reserve, settle, release, reverse: one charge a request, and never above the budget."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from serving.ledger import (
    AnswerExpiredError,
    BudgetExceededError,
    IdempotencyConflictError,
    Ledger,
    LedgerError,
    Replay,
    RequestInProgressError,
    Reservation,
    ReservationLostError,
    Reserved,
    UnknownRequestError,
    schema,
)
from serving.ledger.verification import verify
from tests.serving.ledger.ledger_values import charge, usage
from tests.serving.ledger.standing_clock import Clock

Make = Callable[..., Reservation]


def account(engine: sa.Engine, tenant: str = "acme") -> tuple[int, int]:
    """What is spent and what is reserved, in all months."""
    columns = schema.accounts.c
    with engine.connect() as connection:
        row = connection.execute(
            sa.select(
                sa.func.sum(columns.spent_micro), sa.func.sum(columns.reserved_micro)
            ).where(columns.tenant == tenant)
        ).one()
    return int(row[0]), int(row[1])


def test_a_request_is_charged_what_it_used(
    ledger: Ledger, engine: sa.Engine, reservation: Make
) -> None:
    request = reservation()
    assert ledger.reserve(request) == Reserved("request-1", 1000)
    assert account(engine) == (0, 1000)
    entry = ledger.settle("request-1", usage(), charge(700), b"answer")
    assert account(engine) == (700, 0)
    assert (entry.number, entry.kind, entry.input_tokens, entry.amount_micro) == (
        1,
        "charge",
        120,
        700,
    )
    assert (entry.request_hash, entry.model_version) == (request.request_hash, "1764037200")
    assert verify(engine) == (1, [])


def test_settling_twice_changes_nothing(
    ledger: Ledger, engine: sa.Engine, reservation: Make
) -> None:
    ledger.reserve(reservation())
    first = ledger.settle("request-1", usage(), charge(700), b"answer")
    assert ledger.settle("request-1", usage(), charge(700), b"answer") == first
    assert account(engine) == (700, 0)
    assert ledger.release("request-1") is False
    assert verify(engine) == (1, [])


def test_what_is_released_costs_nothing(
    ledger: Ledger, engine: sa.Engine, reservation: Make
) -> None:
    ledger.reserve(reservation(idempotency_key="k"))
    assert ledger.release("request-1") is True
    assert ledger.release("request-1") is False
    assert account(engine) == (0, 0)
    with pytest.raises(ReservationLostError, match="was released"):
        ledger.settle("request-1", usage(), charge(), b"")
    # Its key may be used again.
    assert ledger.reserve(reservation(idempotency_key="k")) == Reserved("request-2", 1000)


def test_never_more_than_was_reserved(ledger: Ledger, reservation: Make) -> None:
    ledger.reserve(reservation(amount_micro=10))
    with pytest.raises(LedgerError, match=r"costs 11 millionths\. Expected: at most the 10"):
        ledger.settle("request-1", usage(), charge(11), b"")
    ledger.settle("request-1", usage(), charge(10), b"")
    with pytest.raises(UnknownRequestError, match="There is no reservation"):
        ledger.settle("request-9", usage(), charge(10), b"")


def test_the_same_key_gets_the_same_answer_and_is_never_charged_twice(
    ledger: Ledger, engine: sa.Engine, reservation: Make, clock: Clock
) -> None:
    first = reservation(idempotency_key="k", request_hash="a" * 64)
    again = reservation(idempotency_key="k", request_hash="a" * 64)
    other = reservation(idempotency_key="k", request_hash="b" * 64)
    ledger.reserve(first)
    with pytest.raises(RequestInProgressError, match="is still running"):
        ledger.reserve(again)
    ledger.settle("request-1", usage(), charge(), b"the answer")
    clock.now += datetime.timedelta(days=29)
    assert ledger.reserve(again) == Replay("request-1", b"the answer")
    clock.now += datetime.timedelta(days=4000)
    with pytest.raises(AnswerExpiredError, match="is not charged again"):
        ledger.reserve(again)
    with pytest.raises(IdempotencyConflictError, match="another body"):
        ledger.reserve(other)
    # A key is a tenant's own.
    elsewhere = reservation(tenant="other", idempotency_key="k", request_hash="b" * 64)
    assert isinstance(ledger.reserve(elsewhere), Reserved)
    assert account(engine) == (700, 0)


def test_a_budget_is_the_months(ledger: Ledger, reservation: Make, clock: Clock) -> None:
    ledger.reserve(reservation(amount_micro=600, budget_micro=1000))
    with pytest.raises(BudgetExceededError) as refused:
        ledger.reserve(reservation(amount_micro=401, budget_micro=1000))
    assert (refused.value.used_micro, refused.value.asked_micro) == (600, 401)
    ledger.settle("request-1", usage(), charge(100), b"")
    ledger.reserve(reservation(amount_micro=900, budget_micro=1000))
    clock.now += datetime.timedelta(days=6)  # December
    ledger.reserve(reservation(amount_micro=1000, budget_micro=1000))
    # A clock that jumps back changes nothing of what is spent in each month.
    clock.now -= datetime.timedelta(days=6)
    with pytest.raises(BudgetExceededError):
        ledger.reserve(reservation(amount_micro=1, budget_micro=1000))


def test_the_month_of_the_reservation_pays(
    ledger: Ledger, engine: sa.Engine, reservation: Make, clock: Clock
) -> None:
    clock.now = datetime.datetime(2026, 11, 30, 23, 59, 59)
    ledger.reserve(reservation())
    clock.now += datetime.timedelta(seconds=2)
    ledger.settle("request-1", usage(), charge(700), b"")
    with engine.connect() as connection:
        rows = connection.execute(sa.select(schema.accounts)).all()
    assert [tuple(row) for row in rows] == [("acme", "2026-11", 700, 0, 1, 0)]
    assert verify(engine) == (1, [])


def test_a_charge_is_reversed_once(
    ledger: Ledger, engine: sa.Engine, reservation: Make
) -> None:
    ledger.reserve(reservation())
    ledger.settle("request-1", usage(), charge(700), b"")
    reversal = ledger.reverse("acme", 1, "a wrong price", "pat")
    assert (reversal.number, reversal.kind, reversal.reason) == (2, "reversal", "a wrong price")
    assert (reversal.amount_micro, reversal.output_tokens) == (-700, -30)
    assert account(engine) == (0, 0)
    with pytest.raises(LedgerError, match="already reversed, by entry 2"):
        ledger.reverse("acme", 1, "again", "pat")
    with pytest.raises(LedgerError, match="no charge with the number 2"):
        ledger.reverse("acme", 2, "a reversal", "pat")
    assert reversal.made_by == "pat"
    assert verify(engine) == (2, [])


def test_a_reversal_says_why_and_by_whom(ledger: Ledger, reservation: Make) -> None:
    ledger.reserve(reservation())
    ledger.settle("request-1", usage(), charge(700), b"")
    with pytest.raises(LedgerError, match=r"needs a reason of 1 to 255 characters.*''"):
        ledger.reverse("acme", 1, "", "pat")
    with pytest.raises(LedgerError, match="needs a name of who makes it"):
        ledger.reverse("acme", 1, "a wrong price", " ")
    with pytest.raises(LedgerError, match="needs a reason"):
        ledger.reverse("acme", 1, "x" * 256, "pat")
    assert ledger.reverse("acme", 1, "a wrong price", "pat").number == 2


@pytest.mark.parametrize("requests", [200])
def test_a_race_for_a_budget_overspends_nothing(
    ledger: Ledger, engine: sa.Engine, reservation: Make, requests: int
) -> None:
    asked = [reservation(amount_micro=10, budget_micro=300) for _ in range(requests)]

    def run(request: Reservation) -> bool:
        try:
            ledger.reserve(request)
        except BudgetExceededError:
            return False
        ledger.settle(request.request_id, usage(), charge(10), b"")
        return True

    with ThreadPoolExecutor(16) as pool:
        ran = sum(pool.map(run, asked))
    assert ran == 30
    assert account(engine) == (300, 0)
    assert verify(engine) == (30, [])


def test_a_storm_of_retries_is_one_charge(
    ledger: Ledger, engine: sa.Engine, reservation: Make
) -> None:
    same = [reservation(idempotency_key="k", request_hash="a" * 64) for _ in range(50)]

    def run(request: Reservation) -> bytes | None:
        try:
            reserved = ledger.reserve(request)
        except RequestInProgressError:
            return None
        if isinstance(reserved, Replay):
            return reserved.answer
        answer = request.request_id.encode()
        ledger.settle(request.request_id, usage(), charge(), answer)
        return answer

    with ThreadPoolExecutor(16) as pool:
        answers = set(pool.map(run, same)) - {None}
    assert len(answers) == 1
    assert account(engine) == (700, 0)
    assert verify(engine) == (1, [])


def test_wrong_values_are_refused_before_they_are_written(reservation: Make) -> None:
    with pytest.raises(ValueError, match=r"tenant must have 1 to 255 characters\. Received: 0"):
        reservation(tenant="")
    with pytest.raises(ValueError, match="amount_micro must be from 0"):
        reservation(amount_micro=-1)
    with pytest.raises(ValueError, match="Received: 5 of 4"):
        usage(input_tokens=4, cached_tokens=5)
