"""The queue of requests that have found no model server up: order, bounds, pace."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

import pytest

from serving.gateway.admission import Admission
from serving.gateway.backends.waiting import UNDER_WAY_EACH, ModelWait
from serving.gateway.errors import GatewayError, NoServerUpError


@dataclass
class Queue:
    """A queue whose servers are what a test says, and what has come of each request."""

    servers: int = 0
    under_way: int = 0
    capacity: int = 8
    capacity_bytes: int = 1000
    served: list[str] = field(default_factory=list)
    outcomes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.wait = ModelWait(
            lambda: self.servers,
            lambda: self.under_way,
            60.0,
            self.capacity,
            self.capacity_bytes,
        )
        self.wait.observe = lambda outcome, seconds: self.outcomes.append(outcome)

    async def ask(
        self, name: str, tenant: str = "acme", size: int = 1, within_s: float = 60.0
    ) -> None:
        await self.wait.turn(name, tenant, size, time.monotonic() + within_s)
        self.served.append(name)
        self.under_way += 1

    async def begin(self, *names: str, tenant: str = "acme") -> list[asyncio.Task[None]]:
        """Requests, one after another, until each of them waits or is served."""
        tasks = []
        for name in names:
            tasks.append(asyncio.create_task(self.ask(name, tenant)))
            await asyncio.sleep(0)
        return tasks


def test_who_finds_a_server_up_does_not_wait() -> None:
    queue = Queue(servers=1)
    asyncio.run(queue.ask("a"))
    assert (queue.served, queue.outcomes, queue.wait.waiting) == (["a"], [], 0)


def test_the_first_to_come_is_the_first_to_go() -> None:
    queue = Queue()

    async def run() -> None:
        waiting = await queue.begin("a", "b", "c")
        assert (queue.wait.waiting, queue.wait.waiting_of("acme")) == (3, 3)
        assert queue.served == []
        queue.servers = 1
        # A server is up, and this one came last all the same.
        waiting += await queue.begin("d")
        await asyncio.gather(*waiting)
        await queue.wait.close()

    asyncio.run(run())
    assert (queue.served, queue.outcomes) == (["a", "b", "c", "d"], ["served"] * 4)
    assert (queue.wait.waiting, queue.wait.waiting_of("acme")) == (0, 0)


def test_a_server_is_not_given_more_than_it_has_room_for() -> None:
    queue = Queue(capacity=400)

    async def run() -> None:
        waiting = await queue.begin(*map(str, range(100)))
        queue.servers = 1
        while len(queue.served) < UNDER_WAY_EACH:
            await asyncio.sleep(0)
        await asyncio.gather(asyncio.sleep(0.2))  # four turns, in which nobody goes
        assert len(queue.served) == UNDER_WAY_EACH
        queue.under_way = 0
        queue.servers = 3
        await asyncio.gather(*waiting)
        await queue.wait.close()

    asyncio.run(run())
    assert queue.served == list(map(str, range(100)))


def test_who_has_waited_long_enough_is_given_up() -> None:
    queue = Queue()

    async def run() -> None:
        with pytest.raises(NoServerUpError) as error:
            await queue.ask("a", within_s=0.0)
        assert (error.value.status, error.value.code) == (503, "overloaded")
        assert error.value.retry_after_s == 5
        await queue.wait.close()

    asyncio.run(run())
    assert (queue.outcomes, queue.wait.waiting) == (["expired"], 0)


def test_the_queue_is_bounded_and_a_tenant_has_three_quarters_of_it() -> None:
    queue = Queue(capacity=8)

    async def run() -> None:
        waiting = await queue.begin(*"abcdef")
        with pytest.raises(GatewayError) as error:
            await queue.ask("g")
        refused = error.value
        assert (refused.status, refused.code, refused.limit) == (503, "overloaded", "shed")
        assert refused.retry_after_s == 5
        waiting += await queue.begin(*"hi", tenant="other")
        with pytest.raises(GatewayError):
            await queue.ask("j", "third")
        queue.servers = 1
        await asyncio.gather(*waiting)
        await queue.wait.close()

    asyncio.run(run())
    assert queue.served == list("abcdefhi")
    assert queue.outcomes == ["rejected"] * 2 + ["served"] * 8


def test_the_bodies_that_wait_are_bounded() -> None:
    queue = Queue(capacity_bytes=1000)

    async def run() -> None:
        large = asyncio.create_task(queue.ask("large", size=1000))
        await asyncio.sleep(0)
        with pytest.raises(GatewayError):
            await queue.ask("small")
        queue.servers = 1
        await large
        await queue.ask("small")
        await queue.wait.close()

    asyncio.run(run())
    assert queue.served == ["large", "small"]


def test_a_request_whose_client_went_away_waits_no_longer() -> None:
    queue = Queue()

    async def run() -> None:
        first, second = await queue.begin("a", "b")
        assert queue.wait.abandon("a")
        with pytest.raises(GatewayError) as error:
            await first
        assert error.value.code == "client_gone"
        assert not queue.wait.abandon("a") and not queue.wait.abandon("never")
        queue.servers = 1
        await second
        assert not queue.wait.abandon("b")
        await queue.wait.close()

    asyncio.run(run())
    assert (queue.served, queue.outcomes) == (["b"], ["abandoned", "served"])


def test_those_that_wait_take_nobodys_place() -> None:
    queue = Queue()
    admission = Admission(4, queue.wait)

    async def run() -> None:
        for _ in range(3):
            assert admission.enter()
            admission.admit("acme")
        with pytest.raises(GatewayError):
            admission.admit("acme")
        waiting = await queue.begin("a", "b")
        admission.admit("acme")
        assert [admission.enter() for _ in range(4)] == [True, True, True, False]
        queue.servers = 1
        await asyncio.gather(*waiting)
        assert not admission.enter()
        await queue.wait.close()

    asyncio.run(run())
