"""Cached answers: what a key is made of, and where they are kept."""

from serving.gateway.cache.answer_cache import AnswerCache
from serving.gateway.cache.opening import open_store
from serving.gateway.cache.store import CacheError, CacheStore, StoreError

__all__ = ["AnswerCache", "CacheError", "CacheStore", "StoreError", "open_store"]
