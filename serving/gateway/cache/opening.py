"""Where cached answers are kept: in this process, or in a Redis that several gateways share."""

from __future__ import annotations

from typing import Final

from serving.gateway.cache.store import CacheError, CacheStore, MemoryStore

MEMORY: Final = "memory"
SCHEMES: Final = ("redis://", "rediss://", "unix://")


def open_store(url: str, max_entries: int, max_bytes: int, ttl_s: float) -> CacheStore:
    """The store that a URL names.

    Args:
      url: ``memory``, or a Redis: ``redis://host:6379/0``, ``rediss://…``, ``unix://path``.
      max_entries, max_bytes: of the memory's.

    Raises:
      CacheError: there is no such store, or a limit is not positive.
    """
    for name, value in (("entries", max_entries), ("bytes", max_bytes), ("ttl", ttl_s)):
        if value <= 0:
            raise CacheError(f"The cache's {name} must be above 0. Received: {value}")
    if url == MEMORY:
        return MemoryStore(max_entries, max_bytes, ttl_s)
    if url.startswith(SCHEMES):
        # Its client takes a quarter of a second to import.
        from serving.gateway.cache.redis_store import RedisStore

        return RedisStore(url, ttl_s)
    raise CacheError(
        f"The cache is not valid. Expected: {MEMORY!r}, or the URL of a Redis server "
        f"({', '.join(SCHEMES)}). Received: one that begins with {url.partition(':')[0]!r}."
    )
