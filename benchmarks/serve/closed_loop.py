"""Clients that send the next request as soon as they have a response, and the results of a
turn."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

# Calls of each client in a turn, at least: the first and the last are not counted.
LEAST_CALLS = 5


class Span(NamedTuple):
    """The times at which a call began and ended (``time.perf_counter``)."""

    began: float
    ended: float


@dataclass(frozen=True)
class Load:
    """The load in a turn.

    Attributes:
      rows: texts of a call.
      clients: that ask at the same time.
      seconds: after so long no client asks again, if it has asked often enough.
    """

    rows: int
    clients: int
    seconds: float

    def batches(self, texts: Sequence[str]) -> Iterator[Sequence[str]]:
        """The calls' texts, the same in every turn, without end."""
        starts = range(0, len(texts) - self.rows + 1, self.rows)
        return itertools.cycle([texts[start : start + self.rows] for start in starts])


class _Turn:
    """The calls of a turn. One thread at a time may ask for the next."""

    def __init__(self, load: Load, texts: Sequence[str]) -> None:
        self.spans: list[Span] = []
        self._batches = load.batches(texts)
        self._least = LEAST_CALLS * load.clients
        self._deadline = time.perf_counter() + load.seconds
        self._begun = 0

    def next_batch(self) -> Sequence[str] | None:
        """None when the turn is over."""
        if time.perf_counter() > self._deadline and self._begun >= self._least:
            return None
        self._begun += 1
        return next(self._batches)


def run_threads(
    call: Callable[[Sequence[str]], object], load: Load, texts: Sequence[str]
) -> list[Span]:
    """Run each client on a thread.

    Raises:
      Exception: what a call raised.
    """
    turn, lock = _Turn(load, texts), threading.Lock()
    failures: list[BaseException] = []

    def client() -> None:
        while not failures:
            with lock:
                batch = turn.next_batch()
            if batch is None:
                return
            began = time.perf_counter()
            try:
                call(batch)
            except Exception as error:
                failures.append(error)
                return
            turn.spans.append(Span(began, time.perf_counter()))

    threads = [threading.Thread(target=client) for _ in range(load.clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return turn.spans


async def run_tasks(
    calls: Sequence[Callable[[Sequence[str]], Awaitable[Any]]],
    load: Load,
    texts: Sequence[str],
) -> list[Span]:
    """Run each client as a task, each with its own call.

    Raises:
      Exception: what a call raised.
    """
    turn = _Turn(load, texts)

    async def client(call: Callable[[Sequence[str]], Awaitable[Any]]) -> None:
        while (batch := turn.next_batch()) is not None:
            began = time.perf_counter()
            await call(batch)
            turn.spans.append(Span(began, time.perf_counter()))

    try:
        async with asyncio.TaskGroup() as group:
            for call in calls[: load.clients]:
                group.create_task(client(call))
    except ExceptionGroup as failures:
        # The first says why; the others were under way with it.
        raise failures.exceptions[0] from None
    return turn.spans


def steady(spans: Sequence[Span], clients: int) -> tuple[float, list[float]]:
    """Calls a second and seconds of each call, while all clients were asking.

    The first and the last calls to end, as many as there are clients, are not counted: then
    the clients are not yet, or no longer, as many as they are to be.

    Raises:
      ValueError: there are no other calls.
    """
    ordered = sorted(spans, key=lambda span: span.ended)
    counted = ordered[clients : len(ordered) - clients]
    if not counted:
        raise ValueError(
            f"too few calls. Expected: more than two for each of {clients} clients. "
            f"Received: {len(ordered)}"
        )
    seconds = counted[-1].ended - ordered[clients - 1].ended
    return len(counted) / seconds, [span.ended - span.began for span in counted]
