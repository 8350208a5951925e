"""One question, one answer: nothing that may change an answer is left out of its key."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.gateway.cache import AnswerCache
from serving.gateway.cache.redis_store import RedisStore
from serving.gateway.cache.store import MemoryStore
from serving.gateway.ops.metrics import Metrics
from serving.gateway.ports import ServedVersion
from tests.serving.gateway.redis_process import RedisProcess
from tokenizer.contract import MeteredSummary, MeteringRecord

RECORD = MeteringRecord(1, "words", "words", "f" * 64, 1, 8, 4, "", "run", (), "code")
ANSWER = MeteredSummary("A", 1, 1, 2, 0, "stop")
LONGER = MeteredSummary("A A", 1, 2, 3, 0, "stop")

# Short, of few letters, so that joined parts meet often.
_part = st.text("a1 ", max_size=3)
_questions = st.builds(
    lambda tenant, model, number, fingerprint, code, text, limit: (
        tenant,
        ServedVersion(
            model,
            number,
            dataclasses.replace(RECORD, tokenizer_fingerprint=fingerprint, code_version=code),
        ),
        text,
        limit,
    ),
    *(_part, _part, st.integers(1, 11), _part, _part, _part, st.integers(1, 4)),
)


@given(_questions, _questions)
def test_no_other_question_finds_the_answer(
    first: tuple[Any, ...], second: tuple[Any, ...]
) -> None:
    cache = AnswerCache(MemoryStore(10, 10**6, 60.0), Metrics())

    async def work() -> None:
        tenant, version, text, limit = first
        await cache.keep(tenant, version, [(text, ANSWER)], limit)
        assert await cache.find(tenant, version, [text], limit) == [ANSWER]
        tenant, version, text, limit = second
        expected = [ANSWER] if first == second else [None]
        assert await cache.find(tenant, version, [text], limit) == expected

    asyncio.run(work())


def test_a_text_without_a_token_is_not_kept() -> None:
    """By its counts nobody could tell a hit from a miss."""
    cache = AnswerCache(MemoryStore(10, 10**6, 60.0), Metrics())
    version = ServedVersion("m", 1, RECORD)
    nothing = MeteredSummary("A", 0, 1, 1, 0, "stop")

    async def work() -> None:
        await cache.keep("acme", version, [("\u200b", nothing), ("a", ANSWER)], 0)
        assert await cache.find("acme", version, ["\u200b", "a"], 0) == [None, ANSWER]

    asyncio.run(work())


def test_counts_above_the_record_are_no_answer() -> None:
    store = MemoryStore(10, 10**6, 60.0)
    cache = AnswerCache(store, Metrics())
    smaller = dataclasses.replace(RECORD, max_output_tokens=1)

    async def work() -> None:
        # As somebody may write it who can write to the store.
        (key,) = cache.keys("acme", ServedVersion("m", 1, smaller), ["a"], 0)
        await store.put({key: orjson.dumps(dataclasses.asdict(LONGER))})
        assert await cache.find("acme", ServedVersion("m", 1, smaller), ["a"], 0) == [None]

    asyncio.run(work())


@pytest.mark.usefixtures("patient_redis")
def test_a_store_that_is_gone_is_left_alone_for_longer_and_longer(tmp_path: Path) -> None:
    now = 0.0
    version = ServedVersion("m", 1, RECORD)

    async def work() -> None:
        nonlocal now
        cache = AnswerCache(RedisStore(redis.url, 60.0), Metrics(), clock=lambda: now)

        async def known() -> bool:
            return await cache.find("t", version, ["a"], 0) == [ANSWER]

        await cache.keep("t", version, [("a", ANSWER)], 0)
        assert await known()
        redis.stop()
        for pause_s in (1, 2, 4, 8, 16, 30, 30):
            assert not await known()
            redis.start()
            with redis.client() as client:
                # What it would say, were it asked.
                client.set(kept_name, kept_value)
            now += pause_s - 0.01
            assert not await known(), pause_s
            redis.stop()
            now += 0.01
        redis.start()
        now += 30
        with redis.client() as client:
            client.set(kept_name, kept_value)
        assert await known()
        # And it begins anew.
        redis.stop()
        assert not await known()
        redis.start()
        now += 1
        await cache.keep("t", version, [("a", ANSWER)], 0)
        assert await known()
        await cache.close()

    with RedisProcess(tmp_path) as redis:
        kept_name, kept_value = asyncio.run(_kept(redis, version))
        asyncio.run(work())


async def _kept(redis: RedisProcess, version: ServedVersion) -> tuple[bytes, bytes]:
    cache = AnswerCache(RedisStore(redis.url, 60.0), Metrics())
    await cache.keep("t", version, [("a", ANSWER)], 0)
    await cache.close()
    with redis.client() as client:
        (name,) = client.keys()
        return name, client.get(name)
