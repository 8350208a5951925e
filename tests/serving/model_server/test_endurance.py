"""What must not grow: the server's memory, threads and open files, over requests and swaps.

Nothing is timed. What a test allows to grow is far less than a leak would add.
"""

from __future__ import annotations

import os
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from serving.engines import ServerSpec
from serving.engines.process import ProcessServer
from tests.serving.model_server.endurance_clients import (
    BAD_EVERY,
    CONFIG,
    GrpcCalls,
    RestCalls,
    Swapper,
    clients_of,
    usage,
    usage_at_rest,
)
from tests.support.sizes import sized
from tests.support.waiting import wait_until
from tests.support.warm_model_server import WarmEngine

REQUESTS = 10_000
SWAPS = 50
SWAPS_UNDER_LOAD = sized(quick=6, long=20)
CLIENTS = 4
WARM_UP_SWAPS = 15
WARM_UP_SWAPS_UNDER_LOAD = sized(quick=4, long=20)
# Nothing that is held may grow by more, in KiB. A leak of 1 KiB a request would add 10,000. A
# model of this size takes 900 in memory, and 600 after its session was closed: a leak of one
# a swap would add 30,000 or more, and under load, in the long form, 12,000.
ALLOWED_KIB_OF_REQUESTS = 3_000
ALLOWED_KIB_OF_SWAPS = 5_000
# A leak would add one a client or a swap.
ALLOWED_THREADS = 2

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="what a process holds is read from /proc"
)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory, fixture_base: Path) -> Path:
    """The fixture's versions 1 and 2, in a folder where more may come and go."""
    base = tmp_path_factory.mktemp("endurance") / "fixture"
    for version in (1, 2):
        link(fixture_base / str(version), base / str(version))
    return base


def link(source: Path, target: Path) -> None:
    """A version under another number, which costs nothing."""
    shutil.copytree(source, target, copy_function=os.link)


@pytest.fixture(scope="module")
def server(base: Path) -> Iterator[ProcessServer]:
    config = base.parent / "models.config"
    config.write_text(CONFIG % (base, 1))
    flags = {
        "rest_api_num_threads": "2",
        # Versions come when a test asks for them: the disk is looked at upon each request
        # for another config.
        "file_system_poll_wait_seconds": "3600",
    }
    spec = ServerSpec.from_config(("fixture",), config, flags)
    with WarmEngine().start(spec) as server:
        assert isinstance(server, ProcessServer)
        server.wait_until_available(120)
        yield server


def ask(server: ProcessServer, numbers: range) -> None:
    """Each client sends a request for each number, some of them bad."""
    clients = clients_of(server, CLIENTS)

    def work(client: RestCalls | GrpcCalls) -> None:
        for number in numbers:
            if number % BAD_EVERY:
                client.good(number)
            else:
                client.bad(number)

    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(work, clients))
    for client in clients:
        client.close()


@pytest.mark.long
def test_requests_leave_nothing_behind(server: ProcessServer) -> None:
    # Given a server that has had its first thousands of requests
    warm_up = REQUESTS // 4 // CLIENTS
    files = usage(server).files
    ask(server, range(warm_up))
    before = usage_at_rest(server, files)
    # When as many again come, four times
    ask(server, range(warm_up, warm_up + REQUESTS // CLIENTS))
    # Then it holds no more than before
    after = usage_at_rest(server, files)
    assert after.memory_kib - before.memory_kib < ALLOWED_KIB_OF_REQUESTS, (before, after)
    assert after.threads <= before.threads + ALLOWED_THREADS, (before, after)


@pytest.mark.long
def test_swapped_models_leave_nothing_behind(server: ProcessServer, base: Path) -> None:
    with Swapper(server, base) as swapper:

        def swap(version: int) -> None:
            link(base / "1", base / str(version))
            swapper.swap_to(version)
            shutil.rmtree(base / str(version - 1), ignore_errors=True)

        # Given a server that has swapped some models
        for version in range(WARM_UP_SWAPS):
            swap(100 + version)
        before = usage(server)
        # When it swaps more, each under a new number, the old one's folder removed
        for version in range(WARM_UP_SWAPS, WARM_UP_SWAPS + SWAPS):
            swap(100 + version)
        after = usage(server)
        # Then it holds one model, as before
        swapper.swap_to(1)
    assert after.memory_kib - before.memory_kib < ALLOWED_KIB_OF_SWAPS, (before, after)
    assert after.threads <= before.threads + ALLOWED_THREADS, (before, after)
    assert after.files <= before.files, (before, after)


@dataclass(frozen=True)
class Answer:
    """What made an answer, and when it was asked for and had (``time.monotonic``)."""

    asked: float
    had: float
    version: int


class Load:
    """Clients that never stop asking, and all that they are answered."""

    def __init__(self, server: ProcessServer) -> None:
        self._clients = clients_of(server, CLIENTS)
        self._pool = ThreadPoolExecutor(CLIENTS)
        self._stop = threading.Event()
        self._working: list[Future[None]] = []
        self.answers: list[list[Answer]] = [[] for _ in range(CLIENTS)]

    def wait_for_all(self, version: int) -> None:
        """Until each client has an answer of a version."""

        def all_see() -> bool:
            for each in self._working:
                if each.done():
                    each.result()  # raises what a request failed with
            return all(had and had[-1].version == version for had in self.answers)

        wait_until(all_see, f"every client to see version {version}", every_s=0.005)

    def _work(self, place: int) -> None:
        number = 0
        while not self._stop.is_set():
            number += 1
            asked = time.monotonic()
            tag, version = self._clients[place].good(number)
            answer = Answer(asked, time.monotonic(), int(tag.removeprefix("v")))
            assert version in (None, answer.version), "the answer names another version"
            self.answers[place].append(answer)

    def __enter__(self) -> Load:
        self._working = [self._pool.submit(self._work, place) for place in range(CLIENTS)]
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for each in self._working:
            each.result()
        self._pool.shutdown()
        for client in self._clients:
            client.close()


@pytest.mark.sized
def test_swaps_and_rollbacks_under_load_fail_no_request(
    server: ProcessServer, base: Path
) -> None:
    files = usage(server).files
    swap_under_load(server, base, WARM_UP_SWAPS_UNDER_LOAD)
    before = usage_at_rest(server, files)
    swap_under_load(server, base, SWAPS_UNDER_LOAD)
    after = usage_at_rest(server, files)
    assert after.memory_kib - before.memory_kib < ALLOWED_KIB_OF_SWAPS, (before, after)
    assert after.threads <= before.threads + ALLOWED_THREADS, (before, after)


def swap_under_load(server: ProcessServer, base: Path, swaps: int) -> None:
    """Swap versions while clients ask, and hold every answer to those that may have made it."""
    # From then on, until the next of them, these versions may answer.
    may_answer = [(0.0, {1})]
    with Load(server) as load, Swapper(server, base) as swapper:
        load.wait_for_all(1)
        for swap in range(swaps):
            version = 2 - swap % 2  # a rollback every other time
            may_answer.append((time.monotonic(), {1, 2}))
            swapper.swap_to(version)
            may_answer.append((time.monotonic(), {version}))
            load.wait_for_all(version)
    ends = [since for since, _ in may_answer[1:]] + [float("inf")]
    for answers in load.answers:
        assert len(answers) > swaps
        for answer in answers:
            possible = set[int]().union(
                *(
                    versions
                    for (since, versions), until in zip(may_answer, ends, strict=True)
                    if since <= answer.had and answer.asked <= until
                )
            )
            assert answer.version in possible
