"""Ledgers on a real database of each kind; see the fixture ``engine``, one folder above."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
import sqlalchemy as sa

from serving.ledger import Ledger, Reservation
from tests.serving.ledger.archived_months import make_months
from tests.serving.ledger.standing_clock import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ledger(engine: sa.Engine, clock: Clock) -> Ledger:
    return Ledger(engine, "gateway-0", clock)


@pytest.fixture
def reservation() -> Callable[..., Reservation]:
    """Makes reservations, each of a request of its own unless told otherwise."""
    numbers = itertools.count(1)

    def make(**changes: object) -> Reservation:
        number = next(numbers)
        values = {
            "request_id": f"request-{number}",
            "tenant": "acme",
            "amount_micro": 1000,
            "request_hash": f"{number:064x}",
        }
        return Reservation(**(values | changes))  # type: ignore[arg-type]

    return make


@pytest.fixture
def months(
    engine: sa.Engine, ledger: Ledger, reservation: Callable[..., Reservation], clock: Clock
) -> dict[tuple[str, str], object]:
    """Invoices of three months that can be archived; see `make_months`."""
    return make_months(engine, ledger, reservation, clock)
