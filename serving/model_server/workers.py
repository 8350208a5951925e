"""Threads that compute, with a bound on how many requests may wait for one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from serving.model_server.errors import Code, ServingError

P = ParamSpec("P")
T = TypeVar("T")


class Workers:
    """Runs requests off the event loop.

    A caller that is cancelled (its client went away) takes its request out of the queue if
    it has not begun.
    """

    def __init__(self, threads: int, max_queued: int) -> None:
        self._pool = ThreadPoolExecutor(threads, "predict")
        self._limit = threads + max_queued
        self._pending = 0

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Compute on a thread; to be called from the event loop only.

        Raises:
          ServingError: UNAVAILABLE, because the queue is full.
        """
        if self._pending >= self._limit:
            raise ServingError(
                Code.UNAVAILABLE,
                f"The server is busy with {self._pending} requests, which is all it takes "
                "(--rest_api_num_threads and --max_queued_requests). Try again later.",
            )
        loop = asyncio.get_running_loop()
        self._pending += 1
        future = self._pool.submit(work, *args, **kwargs)
        future.add_done_callback(lambda done: self._done(loop, done))
        return await asyncio.wrap_future(future)

    def _done(self, loop: asyncio.AbstractEventLoop, future: Future[T]) -> None:
        # Called on the worker's thread; the count belongs to the loop's.
        if not loop.is_closed():
            loop.call_soon_threadsafe(self._release)

    def _release(self) -> None:
        self._pending -= 1

    def stop(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)
