"""Leases: who has ended is found without comparing clocks, and who lives loses nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from pipelines.cli import app
from serving.ledger import Ledger, Reservation, ReservationLostError, Reserved, schema
from serving.ledger.leases import RENEWALS, Lease, LeaseWatch
from serving.ledger.recovery import LeaseKeeper, recover, release_ownerless, take_over
from serving.ledger.verification import verify
from tests.serving.ledger.ledger_values import charge, usage
from tests.serving.ledger.standing_clock import Clock

Make = Callable[..., Reservation]
LEASE_S = 30.0
EVERY_S = LEASE_S / RENEWALS


class Timer:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def timer() -> Timer:
    return Timer()


@pytest.fixture
def lease(engine: sa.Engine, timer: Timer) -> Lease:
    lease = Lease(engine, "gateway-0", LEASE_S, timer)
    assert lease.renew()
    return lease


def states(engine: sa.Engine) -> dict[str, str]:
    query = sa.select(schema.requests.c.request_id, schema.requests.c.state)
    with engine.connect() as connection:
        return {row[0]: row[1] for row in connection.execute(query)}


def test_what_a_dead_process_had_reserved_is_released_within_the_leases_time(
    engine: sa.Engine, lease: Lease, timer: Timer, reservation: Make
) -> None:
    """The worst case: it dies when it has just renewed, and that is seen late."""
    neighbour = Lease(engine, "gateway-1", LEASE_S, timer)
    neighbour.renew()
    ledger, watch = Ledger(engine, neighbour), LeaseWatch(engine, timer)
    assert take_over(watch, ledger) == []
    Ledger(engine, lease).reserve(reservation())
    ledger.reserve(reservation())
    lease.renew()
    died_at, released = timer.now, list[str]()
    while not released:
        timer.now += EVERY_S
        neighbour.renew()
        released = take_over(watch, ledger)
    assert released == ["request-1"]
    assert timer.now - died_at <= LEASE_S - EVERY_S
    assert states(engine) == {"request-1": "released", "request-2": "reserved"}
    assert take_over(watch, ledger) == []
    assert verify(engine) == (0, [])


def test_who_renews_keeps_what_is_reserved_however_long_it_takes(
    engine: sa.Engine, lease: Lease, timer: Timer, reservation: Make
) -> None:
    ledger = Ledger(engine, lease)
    ledger.reserve(reservation())
    watch = LeaseWatch(engine, timer)
    for _ in range(20):
        # Two of three renewals are missed.
        for _ in range(2):
            timer.now += EVERY_S
            assert take_over(watch, ledger) == []
        lease.renew()
    assert ledger.settle("request-1", usage(), charge(), b"").number == 1


def test_an_outage_ends_no_lease(
    engine: sa.Engine, lease: Lease, timer: Timer, reservation: Make
) -> None:
    """While the database is out, nobody can renew: who is back first robs nobody."""
    ledger = Ledger(engine, lease)
    ledger.reserve(reservation())
    watch = LeaseWatch(engine, timer)
    assert take_over(watch, ledger) == []
    timer.now += 600
    assert take_over(watch, ledger) == []
    timer.now += EVERY_S
    assert take_over(watch, ledger) == []
    lease.renew()
    assert states(engine) == {"request-1": "reserved"}


def test_a_lease_that_is_renewed_at_the_last_moment_is_kept(
    engine: sa.Engine, lease: Lease, timer: Timer
) -> None:
    watch = LeaseWatch(engine, timer)
    ended = watch.ended()
    while not ended:
        timer.now += EVERY_S
        ended = watch.ended()
    lease.renew()
    assert not watch.take_away(ended[0])
    assert lease.renew()


def test_a_process_that_lost_its_lease_charges_for_nothing_that_is_gone(
    engine: sa.Engine, lease: Lease, timer: Timer, reservation: Make
) -> None:
    """Its key is free again; it takes another lease before it reserves again."""
    ledger, first = Ledger(engine, lease), lease.id
    ledger.reserve(reservation(idempotency_key="k"))
    lost = lease_taken_away(engine, lease)
    assert release_ownerless(ledger) == ["request-1"]
    with pytest.raises(ReservationLostError, match="did not renew its lease in time"):
        ledger.settle("request-1", usage(), charge(), b"an answer")
    assert lost == first
    timer.now += LEASE_S  # as long as it was stopped
    again = reservation(idempotency_key="k")
    assert isinstance(ledger.reserve(again), Reserved)
    assert lease.id != first
    assert release_ownerless(ledger) == []
    assert ledger.settle(again.request_id, usage(), charge(), b"an answer").number == 1
    assert verify(engine) == (1, [])


def lease_taken_away(engine: sa.Engine, lease: Lease) -> str:
    watch = LeaseWatch(engine)
    watch.ended()
    (seen,) = watch.seen()
    assert seen.lease_id == lease.id
    assert watch.take_away(seen)
    return seen.lease_id


def test_a_lost_lease_is_noticed_when_it_is_renewed(engine: sa.Engine, lease: Lease) -> None:
    first = lease_taken_away(engine, lease)
    assert not lease.renew()
    assert lease.id != first
    assert lease.renew()


def test_what_nobody_renews_is_released_by_command(
    engine: sa.Engine, clock: Clock, reservation: Make
) -> None:
    """And nothing of a gateway that runs."""
    dead, living = (
        Lease(engine, f"gateway-{n}", lease_s) for n, lease_s in ((0, 0.5), (1, 60))
    )
    for lease in (dead, living):
        lease.renew()
        Ledger(engine, lease, clock).reserve(reservation())
    over = threading.Event()

    def renew() -> None:
        while not over.wait(0.1):
            living.renew()

    renewing = threading.Thread(target=renew)
    renewing.start()
    try:
        assert recover(Ledger(engine, "the command", clock)) == ["request-1"]
    finally:
        over.set()
        renewing.join()
    assert states(engine) == {"request-1": "released", "request-2": "reserved"}
    living.end()
    url = engine.url.render_as_string(hide_password=False)
    result = CliRunner().invoke(app, ["ledger", "recover", "--database", url])
    assert (result.exit_code, result.output.splitlines()) == (
        0,
        ["released: request-2", "1 reservations released"],
    )


def test_a_keeper_that_ends_in_order_leaves_nothing(
    engine: sa.Engine, reservation: Make
) -> None:
    lease = Lease(engine, "gateway-0", 1)
    lease.renew()
    ledger = Ledger(engine, lease)
    keeper = LeaseKeeper(ledger, lease)
    keeper.start()
    ledger.reserve(reservation())
    keeper.stop()
    assert states(engine) == {"request-1": "released"}
    with engine.connect() as connection:
        assert connection.execute(sa.select(schema.leases)).all() == []


def test_a_time_that_is_none(engine: sa.Engine) -> None:
    with pytest.raises(ValueError, match=r"must be positive\. Received: 0 s"):
        Lease(engine, "gateway-0", 0)
