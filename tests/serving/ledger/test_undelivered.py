"""One piece of work is one charge: what could not be delivered belongs to the next identical
request, and what was delivered is never given away."""

from __future__ import annotations

import asyncio
import datetime
import itertools
from collections.abc import Callable
from contextlib import aclosing

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from serving.ledger import (
    Ledger,
    Replay,
    Reservation,
    Reserved,
    Undelivered,
    UndeliveredInProgressError,
    UnknownRequestError,
    schema,
)
from serving.ledger.group_commit import GroupCommit
from serving.ledger.leases import Lease
from serving.ledger.retention import remove_expired
from serving.ledger.verification import verify
from tests.serving.ledger.ledger_values import charge, usage
from tests.serving.ledger.standing_clock import Clock
from tests.support.sizes import sized
from tests.support.waiting import wait_until

Make = Callable[..., Reservation]
BODY = "b" * 64


def begun(engine: sa.Engine, clock: Clock, label: str = "gateway-0") -> tuple[Ledger, Lease]:
    lease = Lease(engine, label)
    lease.renew()
    return Ledger(engine, lease, clock), lease


@pytest.fixture
def ledger(engine: sa.Engine, clock: Clock) -> Ledger:
    return begun(engine, clock)[0]


@pytest.fixture
def same(reservation: Make) -> Make:
    """Makes reservations of identical requests."""
    return lambda **changes: reservation(
        **{"request_hash": BODY, "route": "summaries"} | changes
    )


def kept(engine: sa.Engine) -> list[str]:
    with engine.connect() as connection:
        return list(connection.scalars(sa.select(schema.undelivered.c.request_id)))


def charges(engine: sa.Engine) -> int:
    with engine.connect() as connection:
        return int(
            connection.scalar(sa.select(sa.func.count()).select_from(schema.entries)) or 0
        )


def test_an_answer_that_was_not_delivered_belongs_to_the_next_identical_request(
    ledger: Ledger, engine: sa.Engine, same: Make
) -> None:
    ledger.reserve(same())
    ledger.settle("request-1", usage(), charge(), b"the answer")
    assert ledger.undelivered("request-1")
    assert ledger.reserve(same()) == Undelivered("request-1", b"the answer")
    # It is being delivered: the next one is a new order.
    assert isinstance(ledger.reserve(same()), Reserved)
    # That delivery fails, too; and the next one does not.
    assert ledger.undelivered("request-1")
    assert ledger.reserve(same()) == Undelivered("request-1", b"the answer")
    ledger.delivered("request-1")
    assert isinstance(ledger.reserve(same()), Reserved)
    assert (charges(engine), kept(engine)) == (1, [])
    assert verify(engine) == (1, [])


def test_a_delivered_answer_is_never_given_away(
    ledger: Ledger, engine: sa.Engine, same: Make
) -> None:
    """Nor one that is just being delivered."""
    ledger.reserve(same())
    ledger.settle("request-1", usage(), charge(), b"the answer")
    assert isinstance(ledger.reserve(same()), Reserved)
    ledger.delivered("request-1")
    assert isinstance(ledger.reserve(same()), Reserved)
    assert kept(engine) == []


@pytest.mark.parametrize(
    "other",
    [
        {"tenant": "other"},
        {"route": "chat"},
        {"request_hash": "c" * 64},
        {"route": None},
        {"idempotency_key": "k"},
    ],
)
def test_only_the_same_request_gets_it(
    ledger: Ledger, same: Make, other: dict[str, object]
) -> None:
    """Of the same tenant, route and body; and a key makes it an order of its own."""
    ledger.reserve(same())
    ledger.settle("request-1", usage(), charge(), b"the answer")
    assert ledger.undelivered("request-1")
    assert isinstance(ledger.reserve(same(**other)), Reserved)
    assert isinstance(ledger.reserve(same()), Undelivered)


def test_it_is_waited_for_where_it_is_still_computed(
    ledger: Ledger, engine: sa.Engine, same: Make
) -> None:
    ledger.reserve(same())
    assert ledger.undelivered("request-1")
    with pytest.raises(UndeliveredInProgressError, match="is still computed"):
        ledger.reserve(same())
    ledger.settle("request-1", usage(), charge(), b"the answer")
    assert ledger.reserve(same()) == Undelivered("request-1", b"the answer")
    # What comes to nothing is waited for no longer.
    ledger.delivered("request-1")
    ledger.reserve(same(request_id="fails"))
    assert ledger.undelivered("fails")
    ledger.release("fails")
    assert not ledger.undelivered("fails")
    assert isinstance(ledger.reserve(same()), Reserved)
    assert kept(engine) == []


def test_what_a_process_that_died_was_delivering_is_free(
    engine: sa.Engine, clock: Clock, same: Make
) -> None:
    (dead, lease), (living, _) = begun(engine, clock), begun(engine, clock, "gateway-1")
    dead.reserve(same())
    dead.settle("request-1", usage(), charge(), b"the answer")
    assert isinstance(living.reserve(same()), Reserved)
    lease.end()
    assert living.reserve(same()) == Undelivered("request-1", b"the answer")


def test_it_is_kept_for_a_while(
    ledger: Ledger, engine: sa.Engine, clock: Clock, same: Make
) -> None:
    ledger.reserve(same())
    ledger.settle("request-1", usage(), charge(), b"the answer")
    ledger.undelivered("request-1")
    clock.now += datetime.timedelta(minutes=9)
    assert remove_expired(engine, clock) == 0
    assert isinstance(ledger.reserve(same()), Undelivered)
    ledger.undelivered("request-1")
    clock.now += datetime.timedelta(minutes=11)
    assert isinstance(ledger.reserve(same()), Reserved)
    assert remove_expired(engine, clock) == 1
    assert kept(engine) == []


def test_keyed_requests_have_their_answers_by_their_keys(
    ledger: Ledger, engine: sa.Engine, same: Make
) -> None:
    ledger.reserve(same(idempotency_key="k"))
    assert not ledger.undelivered("request-1")
    ledger.settle("request-1", usage(), charge(), b"the answer")
    assert not ledger.undelivered("request-1")
    assert ledger.reserve(same(idempotency_key="k")) == Replay("request-1", b"the answer")
    assert isinstance(ledger.reserve(same()), Reserved)
    with pytest.raises(UnknownRequestError):
        ledger.undelivered("nothing")


def test_one_of_many_at_once_gets_it(ledger: Ledger, engine: sa.Engine, same: Make) -> None:
    """In one transaction, and by the marks of the same transaction."""

    async def work() -> None:
        async with aclosing(GroupCommit(ledger)) as group:
            await group.reserve(same())
            await group.settle("request-1", usage(), charge(), b"the answer")
            results = await asyncio.gather(
                group.reserve(same()),
                group.undelivered("request-1"),
                *(group.reserve(same()) for _ in range(4)),
            )
            kinds = [type(each) for each in results]
            assert kinds == [Reserved, bool, Undelivered, Reserved, Reserved, Reserved]
            group.delivered("request-1")
            assert isinstance(await group.reserve(same()), Reserved)
            # By itself, where nothing else is written.
            settled = same()
            await group.reserve(settled)
            await group.settle(settled.request_id, usage(), charge(), b"the answer")
            assert kept(engine) == [settled.request_id]
            group.delivered(settled.request_id)
            await asyncio.to_thread(wait_until, lambda: kept(engine) == [], "the mark")
            # At the end.
            last = same()
            await group.reserve(last)
            await group.settle(last.request_id, usage(), charge(), b"the answer")
            group.delivered(last.request_id)
            await group.flush()
            assert kept(engine) == []

    asyncio.run(work())
    assert verify(engine)[1] == []


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["ask", "ask", "settle", "fail", "gone", "delivered", "crash"]),
        st.integers(0, 1),
        st.integers(0, 5),
    ),
    max_size=40,
)


@pytest.mark.sized
def test_any_order_of_retries_failures_and_crashes(engine: sa.Engine, clock: Clock) -> None:
    """Two bodies, two gateways: an answer is given to one client at a time, never after it was
    delivered, and nothing is computed that waits for a client."""
    numbers = itertools.count(1)

    @seed(21)
    @settings(
        max_examples=sized(quick=25, long=400),
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(STEPS)
    def orders(steps: list[tuple[str, int, int]]) -> None:
        tenant = f"tenant-{next(numbers)}"
        gateways = [begun(engine, clock, f"gateway-{n}") for n in range(2)]
        computing: dict[str, tuple[int, int]] = {}  # the gateway, the body
        gone: set[str] = set()  # whose client has gone while they are computed
        delivering: dict[str, tuple[int, int]] = {}
        free: dict[str, int] = {}  # the body
        charged = 0

        def pick(of: dict[str, tuple[int, int]], which: int) -> str | None:
            return sorted(of)[which % len(of)] if of else None

        for step, at, which in steps:
            ledger, lease = gateways[at]
            if step == "ask":
                body = which % 2
                name = f"{tenant}/{next(numbers)}"
                request = Reservation(
                    name, tenant, 1000, f"{body:064x}", route="summaries", max_concurrent=50
                )
                waited_for = {each for each in gone if computing[each][1] == body}
                there = {each for each, of in free.items() if of == body}
                try:
                    result = ledger.reserve(request)
                except UndeliveredInProgressError:
                    assert waited_for and not there
                    continue
                if isinstance(result, Undelivered):
                    assert result.request_id in there
                    assert result.answer == result.request_id.encode()
                    del free[result.request_id]
                    delivering[result.request_id] = at, body
                else:
                    assert not there and not waited_for
                    computing[name] = at, body
            elif step == "crash":
                # What it computed is released as its lease ends; what it delivered is free.
                lease.end()
                gateways[at] = begun(engine, clock, f"gateway-{at}")
                for name in [each for each, of in computing.items() if of[0] == at]:
                    ledger.release(name)
                    del computing[name]
                    gone.discard(name)
                for name in [each for each, of in delivering.items() if of[0] == at]:
                    free[name] = delivering.pop(name)[1]
            elif step in ("settle", "fail") and (named := pick(computing, which)) is not None:
                name = named
                of = computing.pop(name)
                ledger = gateways[of[0]][0]
                if step == "fail":
                    ledger.release(name)
                else:
                    ledger.settle(name, usage(), charge(), name.encode())
                    charged += 1
                    if name in gone:
                        free[name] = of[1]
                    else:
                        delivering[name] = of
                gone.discard(name)
            elif step == "gone" and (named := pick(computing | delivering, which)) is not None:
                name = named
                assert gateways[at][0].undelivered(name)
                if name in computing:
                    gone.add(name)
                else:
                    free[name] = delivering.pop(name)[1]
            elif step == "delivered" and (named := pick(delivering, which)) is not None:
                name = named
                gateways[at][0].delivered(name)
                del delivering[name]
        assert verify(engine, tenant) == (charged, [])

    orders()
