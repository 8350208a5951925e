"""Amounts of the last minute: never more than the limit in any 60 s, whatever clocks do."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.gateway.redis_windows import RedisWindows
from serving.gateway.windows import MemoryWindows, Window, WindowsError
from serving.gateway.windows_opening import WindowsSettingError, open_windows
from tests.serving.gateway.redis_process import RedisProcess


class Timer:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0, 30), st.integers(0, 12), st.booleans()), max_size=60),
    st.integers(1, 20),
)
def test_no_minute_holds_more_than_the_limit(
    steps: list[tuple[float, int, bool]], limit: int
) -> None:
    timer = Timer()
    windows = MemoryWindows(timer)
    counted: deque[tuple[float, int]] = deque()
    for pause_s, cost, clip in steps:
        timer.now += pause_s
        before = asyncio.run(windows.count("k", limit, 0))
        window = asyncio.run(windows.count("k", limit, cost, clip))
        used = before.remaining - window.remaining
        counted.append((timer.now, used))
        in_a_minute = sum(each for at, each in counted if timer.now - at < 60)
        assert in_a_minute <= limit
        # What has left for certain makes room.
        still_there = sum(each for at, each in counted if timer.now - at < 61)
        assert window.remaining >= limit - still_there
        assert used == (min(cost, before.remaining) if clip else cost * window.counted)


def test_keys_are_apart_and_time_makes_room() -> None:
    timer = Timer()
    windows = MemoryWindows(timer)

    async def count(key: str, cost: int) -> Window:
        return await windows.count(key, 3, cost)

    assert asyncio.run(count("a", 2)) == Window(True, 1, 61)
    timer.now += 10
    assert asyncio.run(count("a", 2)) == Window(False, 1, 51)
    assert asyncio.run(count("b", 3)) == Window(True, 0, 61)
    timer.now += 51
    assert asyncio.run(count("a", 3)) == Window(True, 0, 61)


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisProcess]:
    with RedisProcess(tmp_path_factory.mktemp("redis")) as running:
        yield running


def test_a_redis_counts_the_same(redis: RedisProcess) -> None:
    async def ask() -> list[Window]:
        first, second = RedisWindows(redis.url), open_windows(f"async+{redis.url}")
        try:
            return [
                await first.count("k", 5, 2),
                await second.count("k", 5, 4),
                await second.count("k", 5, 0),
                await first.count("k", 5, 9, clip=True),
                await second.count("k", 5, 1),
                await second.count("other", 5, 5),
            ]
        finally:
            await first.close()
            await second.close()

    windows = asyncio.run(ask())
    assert [(each.counted, each.remaining) for each in windows] == [
        (True, 3),
        (False, 3),
        (True, 3),
        (True, 0),
        (False, 0),
        (True, 0),
    ]
    assert all(0 < each.reset_s <= 61 for each in windows)


def test_in_redis_an_old_second_has_left(redis: RedisProcess) -> None:
    with redis.client() as client:
        now = int(client.time()[0])
        client.hset("tallygraph:rate:old", mapping={str(now - 61): 5, str(now + 100): 5})

        async def ask() -> Window:
            windows = RedisWindows(redis.url)
            try:
                return await windows.count("old", 5, 5)
            finally:
                await windows.close()

        assert asyncio.run(ask()).counted
        assert 0 < client.ttl("tallygraph:rate:old") <= 61


def test_a_redis_that_is_gone_says_so_and_nothing_else(redis: RedisProcess) -> None:
    async def ask() -> None:
        windows = RedisWindows("redis://:secret@127.0.0.1:9/0")
        try:
            with pytest.raises(WindowsError) as error:
                await windows.count("k", 5, 1)
            assert "secret" not in str(error.value) and "127.0.0.1" not in str(error.value)
        finally:
            await windows.close()

    asyncio.run(ask())


@pytest.mark.parametrize("url", ["memcached://a", "", "redis", "async+redis://:secret@a:b"])
def test_places_that_are_not_valid(url: str, tmp_path: Path) -> None:
    with pytest.raises(WindowsSettingError, match="Expected: async") as error:
        open_windows(url)
    assert "secret" not in str(error.value)
