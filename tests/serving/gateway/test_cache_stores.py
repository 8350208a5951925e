"""Where cached answers are kept: bounds, time, and a Redis that comes and goes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest

from serving.gateway.cache import CacheError, StoreError, open_store
from serving.gateway.cache.redis_store import RedisStore
from serving.gateway.cache.store import MAX_VALUE_BYTES, MemoryStore
from tests.serving.gateway.redis_process import RedisProcess

T = TypeVar("T")


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def memory(max_entries: int = 100, max_bytes: int = 10**6, ttl_s: float = 60.0) -> MemoryStore:
    return MemoryStore(max_entries, max_bytes, ttl_s, Clock())


def run(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    return asyncio.run(work())


def test_what_was_used_longest_ago_goes_first() -> None:
    store = memory(max_entries=3)

    async def work() -> None:
        await store.put({b"a": b"1", b"b": b"2", b"c": b"3"})
        await store.get([b"a"])
        await store.put({b"d": b"4"})
        assert await store.get([b"a", b"b", b"c", b"d"]) == [b"1", None, b"3", b"4"]

    run(work)


def test_memory_is_bounded_in_bytes_and_adds_up() -> None:
    store = memory(max_bytes=10_000)

    async def work() -> None:
        for number in range(1000):
            await store.put({str(number % 60).encode(): b"v" * (number % 500)})
            assert store.size_bytes <= 10_000
        assert 0 < len(store) < 60
        # Put again: counted once.
        (last,) = await store.get([b"39"])
        before = store.size_bytes
        assert last is not None
        await store.put({b"39": last})
        assert store.size_bytes == before
        await store.close()
        assert (len(store), store.size_bytes) == (0, 0)

    run(work)


def test_a_value_is_forgotten_in_time_however_often_it_is_used() -> None:
    clock = Clock()
    store = MemoryStore(10, 10**6, 60.0, clock)

    async def work() -> None:
        await store.put({b"a": b"1"})
        clock.now += 59
        assert await store.get([b"a"]) == [b"1"]
        clock.now += 1
        assert await store.get([b"a"]) == [None]
        assert (len(store), store.size_bytes) == (0, 0)

    run(work)


def test_a_value_that_is_too_large_is_not_kept() -> None:
    store = memory()

    async def work() -> None:
        await store.put({b"a": b"1", b"b": b"2"})
        await store.put({b"a": b"v" * (MAX_VALUE_BYTES + 1)})
        # Nor is what it should have replaced.
        assert await store.get([b"a", b"b"]) == [None, b"2"]

    run(work)


@pytest.mark.usefixtures("patient_redis")
def test_a_redis_keeps_values_for_a_time(tmp_path: Path) -> None:
    with RedisProcess(tmp_path) as server, server.client() as client:

        async def work() -> list[bytes | None]:
            store = RedisStore(server.url, ttl_s=60)
            await store.put({b"a": b"1", b"b": b"v" * (MAX_VALUE_BYTES + 1)})
            found = await store.get([b"a", b"b", b"c"])
            await store.close()
            return found

        assert run(work) == [b"1", None, None]
        (key,) = client.keys()
        assert key == b"tallygraph:answer:61"
        assert 0 < client.pttl(key) <= 60_000


@pytest.mark.usefixtures("patient_redis")
def test_a_redis_that_comes_back_is_used_again(tmp_path: Path) -> None:
    with RedisProcess(tmp_path) as server:

        async def work() -> None:
            store = RedisStore(server.url, ttl_s=60)
            await store.put({b"a": b"1"})
            server.stop()
            with pytest.raises(StoreError, match="ConnectionError"):
                await store.get([b"a"])
            with pytest.raises(StoreError, match="ConnectionError"):
                await store.put({b"a": b"1"})
            server.start()
            await store.put({b"a": b"2"})
            # What was open is closed by a start anew: nobody notices.
            server.stop()
            server.start()
            assert await store.get([b"a"]) == [None]
            await store.close()

        run(work)


def test_a_redis_that_does_not_answer_is_not_waited_for() -> None:
    async def work() -> None:
        async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()
            writer.close()

        server = await asyncio.start_server(silent, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        store = RedisStore(f"redis://127.0.0.1:{port}", ttl_s=60)
        with pytest.raises(StoreError, match="Timeout"):
            await asyncio.wait_for(store.get([b"a"]), 60)
        await store.close()
        server.close()

    run(work)


@pytest.mark.parametrize(
    ("url", "limits", "message"),
    [
        ("memcached://host", (1, 1, 1.0), "one that begins with 'memcached'"),
        ("redis://user:secret@host:port", (1, 1, 1.0), "The cache's URL is not valid"),
        ("memory", (0, 1, 1.0), "entries must be above 0. Received: 0"),
        ("memory", (1, -1, 1.0), "bytes must be above 0. Received: -1"),
        ("memory", (1, 1, 0.0), "ttl must be above 0. Received: 0.0"),
    ],
)
def test_a_cache_that_cannot_be(url: str, limits: tuple[int, int, float], message: str) -> None:
    with pytest.raises(CacheError) as error:
        open_store(url, *limits)
    assert message in str(error.value)
    assert "secret" not in str(error.value)
