"""Cached answers in a Redis, which several gateways share."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final, cast

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from serving.gateway.cache.store import MAX_VALUE_BYTES, CacheError, CacheStore, StoreError

_TIMEOUT_S: Final = 0.1
_CONNECTIONS: Final = 32


class RedisStore(CacheStore):
    """A Redis. How much it holds is its own setting: ``maxmemory``, ``allkeys-lru``.

    It holds summaries in the clear, as the ledger's database does, and what it says is
    answered: let nobody else write to it.
    """

    def __init__(self, url: str, ttl_s: float) -> None:
        """
        Raises:
          CacheError: the URL is none.
        """
        try:
            pool = BlockingConnectionPool.from_url(
                url,
                max_connections=_CONNECTIONS,
                timeout=_TIMEOUT_S,
                socket_timeout=_TIMEOUT_S,
                socket_connect_timeout=_TIMEOUT_S,
                # Once more at once: a Redis that was started anew has closed what was open.
                retry=Retry(NoBackoff(), 1),
            )
        except ValueError:  # its message may quote a password
            raise CacheError(
                "The cache's URL is not valid. Expected: a URL such as redis://host:6379/0."
            ) from None
        self._redis = Redis(connection_pool=pool)
        self._ttl_ms = round(ttl_s * 1000)

    async def get(self, keys: Sequence[bytes]) -> list[bytes | None]:
        try:
            async with asyncio.timeout(2 * _TIMEOUT_S):
                found = await self._redis.mget([_name(key) for key in keys])
                return cast("list[bytes | None]", found)  # it decodes nothing unless told to
        except Exception as error:  # whatever it is, it is not worth a request
            raise StoreError(type(error).__name__) from None

    async def put(self, values: Mapping[bytes, bytes]) -> None:
        try:
            async with asyncio.timeout(2 * _TIMEOUT_S):
                pipeline = self._redis.pipeline(transaction=False)
                for key, value in values.items():
                    if len(value) <= MAX_VALUE_BYTES:
                        pipeline.set(_name(key), value, px=self._ttl_ms)
                await pipeline.execute()
        except Exception as error:  # whatever it is, it is not worth a request
            raise StoreError(type(error).__name__) from None

    async def close(self) -> None:
        await self._redis.aclose()
        await self._redis.connection_pool.disconnect()


def _name(key: bytes) -> str:
    return f"tallygraph:answer:{key.hex()}"
