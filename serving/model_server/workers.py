"""Threads that compute, with a limit on the number of waiting requests."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Generic, ParamSpec, TypeVar

from serving.model_server.errors import ServingError
from serving.protocol.statuses import Code

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class Waiting(Generic[T]):
    """Returned by a request's work to release its thread while others compute.

    Attributes:
      future: what it waits for.
      finish: the rest of the work, run on a thread once the future has its result.
    """

    future: Future[Any]
    finish: Callable[[Any], T]


class Workers:
    """Runs requests off the event loop.

    A request counts towards the limit from its start to its end, including waiting. If a caller
    is cancelled (its client disconnected), its request is removed from the queue if it has not
    begun.
    """

    def __init__(self, threads: int, max_queued: int) -> None:
        self._pool = ThreadPoolExecutor(threads, "predict")
        self._limit = threads + max_queued
        self._pending = 0

    async def run(
        self, work: Callable[P, T | Waiting[T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Compute on a thread; call it only from the event loop.

        Raises:
          ServingError: UNAVAILABLE if the queue is full.
        """
        if self._pending >= self._limit:
            raise ServingError(
                Code.UNAVAILABLE,
                f"The server is busy with {self._pending} requests, which is the maximum "
                "(--rest_api_num_threads and --max_queued_requests). Try again later.",
            )
        self._pending += 1
        step: Future[Any] = self._pool.submit(work, *args, **kwargs)
        try:
            result = await asyncio.wrap_future(step)
            if isinstance(result, Waiting):
                step = result.future
                awaited = await asyncio.wrap_future(step)
                step = self._pool.submit(result.finish, awaited)
                result = await asyncio.wrap_future(step)
        finally:
            self._leave(step)
        answer: T = result
        return answer

    def _leave(self, step: Future[Any]) -> None:
        """Give the place back, at the end of a step that nobody waits for any more."""
        if step.done():
            _give_up(step)
            self._pending -= 1
            return
        loop = asyncio.get_running_loop()

        def ended(step: Future[Any]) -> None:
            # Called on the step's thread; the count belongs to the loop's.
            _give_up(step)
            if not loop.is_closed():
                loop.call_soon_threadsafe(self._release)

        step.add_done_callback(ended)

    def _release(self) -> None:
        self._pending -= 1

    def stop(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)


def _give_up(step: Future[Any]) -> None:
    """Do not wait for what the work of a caller that has gone away waits for."""
    if not step.cancelled() and step.exception() is None:
        result = step.result()
        if isinstance(result, Waiting):
            result.future.cancel()
