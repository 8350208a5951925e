"""A key's own budget holds as its tenant's does: reservations included, whoever reserves."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import sqlalchemy as sa

from serving.ledger import (
    BudgetExceededError,
    KeyBudgetExceededError,
    Ledger,
    Reservation,
    Reserved,
)
from serving.ledger.months import month_ends_in_s
from serving.ledger.operations import Operation, Release, Reserve, Settle
from serving.ledger.records import KeyBudget, Replay
from serving.ledger.verification import verify
from tests.serving.ledger.ledger_values import charge, usage
from tests.serving.ledger.standing_clock import START, Clock

Make = Callable[..., Reservation]
MONTH_ENDS_IN_S = 5 * 86_400 + 12 * 3600


def test_what_is_reserved_and_spent_counts(
    ledger: Ledger, clock: Clock, reservation: Make
) -> None:
    def ask(key_id: str = "k1", budget_micro: int | None = 2500) -> Reservation:
        request = reservation(key_id=key_id, key_budget_micro=budget_micro)
        ledger.reserve(request)
        return request

    first, second = ask(), ask()
    with pytest.raises(
        KeyBudgetExceededError, match="budget of the API key of this month is 2500 millionths"
    ) as refused:
        ask()
    assert (refused.value.used_micro, refused.value.asked_micro) == (2000, 1000)
    ledger.release(second.request_id)
    ask()
    ledger.settle(first.request_id, usage(), charge(), b"")  # 700 of the 1000
    with pytest.raises(KeyBudgetExceededError):
        ask()
    # Other keys have their own, or none; and the next month is another one.
    ask("k2")
    ask("k3", None)
    clock.now = datetime.datetime(2026, 12, 1)
    ask()


def test_a_reversal_gives_back(ledger: Ledger, reservation: Make) -> None:
    first = reservation(key_id="k1", key_budget_micro=1000)
    ledger.reserve(first)
    number = ledger.settle(first.request_id, usage(), charge(), b"").number
    again = reservation(key_id="k1", key_budget_micro=1000)
    with pytest.raises(KeyBudgetExceededError):
        ledger.reserve(again)
    ledger.reverse("acme", number, "a test", "a test")
    assert ledger.reserve(again) == Reserved(
        again.request_id, 1000, KeyBudget(1000, 0, MONTH_ENDS_IN_S)
    )


def test_what_is_left_is_told_with_each_answer(ledger: Ledger, reservation: Make) -> None:
    asked = {"key_id": "k1", "key_budget_micro": 1500}
    first = reservation(**asked, idempotency_key="key")
    reserved = ledger.reserve(first)
    assert reserved.key_budget == KeyBudget(1500, 0, MONTH_ENDS_IN_S)
    assert KeyBudget(1500, 0, 1).after(1600).remaining_micro == 0
    ledger.settle(first.request_id, usage(), charge(), b"")
    used = KeyBudget(1500, 700, MONTH_ENDS_IN_S)
    again = reservation(**asked, idempotency_key="key", request_hash=first.request_hash)
    assert ledger.reserve(again) == Replay(first.request_id, b"", used)
    with pytest.raises(KeyBudgetExceededError) as refused:
        ledger.reserve(reservation(**asked))
    assert refused.value.budget == used
    assert ledger.reserve(reservation(key_id="k2")).key_budget is None


def test_when_the_month_ends() -> None:
    assert month_ends_in_s(START) == MONTH_ENDS_IN_S
    assert month_ends_in_s(datetime.datetime(2026, 12, 31, 23, 59, 59, 1)) == 1
    assert month_ends_in_s(datetime.datetime(2026, 12, 1)) == 31 * 86_400


def test_both_budgets_hold(ledger: Ledger, reservation: Make) -> None:
    both = {"key_id": "k1", "key_budget_micro": 5000, "budget_micro": 1500}
    ledger.reserve(reservation(**both))
    with pytest.raises(BudgetExceededError) as refused:
        ledger.reserve(reservation(**both))
    assert not isinstance(refused.value, KeyBudgetExceededError)
    with pytest.raises(KeyBudgetExceededError):
        ledger.reserve(reservation(**both | {"key_budget_micro": 1500, "budget_micro": 9000}))


def test_requests_of_one_group_see_each_other(
    engine: sa.Engine, ledger: Ledger, reservation: Make
) -> None:
    asked = [reservation(key_id="k1", key_budget_micro=2000) for _ in range(5)]
    first = asked[0].request_id
    with engine.connect() as connection:
        outcomes = ledger.write(connection, [Reserve(each) for each in asked[:3]])
        refused = [isinstance(each.error, KeyBudgetExceededError) for each in outcomes]
        assert refused == [False, False, True]
        done: list[Operation[Any]] = [
            Release(asked[1].request_id),
            Settle(first, usage(), charge(), b""),
            Reserve(asked[3]),
            Reserve(asked[4]),
        ]
        outcomes = ledger.write(connection, done)
    assert [type(each.error) for each in outcomes] == [
        *(type(None),) * 3,
        KeyBudgetExceededError,
    ]
    assert verify(engine) == (1, [])


def test_a_race_of_several_gateways_overspends_nothing(
    engine: sa.Engine, reservation: Make
) -> None:
    ledgers = [Ledger(engine, f"gateway-{number}") for number in range(3)]
    asked = [reservation(key_id="k1", key_budget_micro=10_500) for _ in range(60)]

    def sell(number: int) -> bool:
        ledger, request = ledgers[number % 3], asked[number]
        try:
            ledger.reserve(request)
        except KeyBudgetExceededError:
            return False
        ledger.settle(request.request_id, usage(), charge(), b"")
        return True

    with ThreadPoolExecutor(12) as pool:
        sold = sum(pool.map(sell, range(40)))
    # 700 each, of 1000 that each reserves: after 14 of them, 700 are left.
    assert 0 < sold <= 14
    sold += sum(map(sell, range(40, 60)))
    assert sold == 14
    assert verify(engine) == (14, [])
