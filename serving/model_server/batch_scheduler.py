"""Queues of requests that are computed together, on threads that all queues share.

Works like TensorFlow Serving's ``SharedBatchScheduler``: each queue is a sequence of batches,
of which the last one is open. A thread takes the first batch when it is closed, full, or its
first task has waited long enough; it serves the queues in turn, so that none starves another.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field

import numpy as np

from serving.model_server.batching_options import BatchingOptions
from serving.model_server.errors import ServingError, invalid_argument
from serving.protocol.statuses import Code

_LOG = logging.getLogger(__name__)


@dataclass(eq=False)
class BatchTask:
    """A request that waits to be computed with others.

    Attributes:
      inputs: an array for each of the queue's feeds, all of ``rows`` rows.
      timeout_ms: time limit of the request, including waiting; 0 for no limit.
      future: an array for each of the queue's fetches. Cancelling it removes the task from its
        queue, unless its batch has begun.
      enqueued_at: ``time.monotonic`` when it arrived.
    """

    inputs: list[np.ndarray]
    rows: int
    timeout_ms: int = 0
    future: Future[list[np.ndarray]] = field(default_factory=Future)
    enqueued_at: float = field(default_factory=time.monotonic)


Process = Callable[[list[BatchTask]], None]


class _Batch:
    def __init__(self) -> None:
        self.tasks: list[BatchTask] = []
        self.rows = 0
        self.started_at = 0.0

    def add(self, task: BatchTask) -> None:
        if not self.tasks:
            self.started_at = time.monotonic()
        self.tasks.append(task)
        self.rows += task.rows


class BatchQueue:
    """One queue; created by ``BatchScheduler.add_queue``."""

    def __init__(
        self, changed: threading.Condition, options: BatchingOptions, process: Process
    ) -> None:
        self.process = process
        self._changed = changed
        self._max_rows = options.max_batch_size
        self._timeout_s = options.batch_timeout_micros / 1e6
        # As in TensorFlow Serving, 0 means 1: the open batch is one of them.
        self._max_batches = max(1, options.max_enqueued_batches)
        self._batches: deque[_Batch] = deque([_Batch()])
        self._closed = False

    def submit(self, task: BatchTask) -> None:
        """Put a task into the open batch.

        Raises:
          ServingError: INVALID_ARGUMENT for more rows than a batch may have; UNAVAILABLE if the
            queue is full.
        """
        if task.rows > self._max_rows:
            raise invalid_argument(
                f"Task size {task.rows} is larger than maximum input batch size "
                f"{self._max_rows}"
            )
        with self._changed:
            if self._closed:
                raise _stopped()
            if self._batches[-1].rows + task.rows > self._max_rows:
                if len(self._batches) >= self._max_batches:
                    raise ServingError(
                        Code.UNAVAILABLE,
                        "The batch scheduling queue to which this task was submitted is "
                        f"full; currently {len(self._batches)} batches enqueued and "
                        f"max_enqueued_batches is {self._max_batches}",
                    )
                self._batches.append(_Batch())
            self._batches[-1].add(task)
            self._changed.notify()
        task.future.add_done_callback(lambda future: self._discard(task, future))

    def due_at(self) -> float:
        """Return when a thread may take a batch (``time.monotonic``); the lock must be held."""
        first = self._batches[0]
        if len(self._batches) > 1 or first.rows >= self._max_rows:
            return 0.0
        return first.started_at + self._timeout_s if first.tasks else float("inf")

    def take(self) -> list[BatchTask]:
        """Remove the first batch; the lock must be held."""
        batch = self._batches.popleft()
        if not self._batches:
            self._batches.append(_Batch())
        return batch.tasks

    def close(self) -> list[BatchTask]:
        """Accept no more tasks, and return those that wait; the lock must be held."""
        self._closed = True
        waiting = [task for batch in self._batches for task in batch.tasks]
        self._batches = deque([_Batch()])
        return waiting

    def _discard(self, task: BatchTask, future: Future[list[np.ndarray]]) -> None:
        """Rows that nobody waits for must not fill a batch that others could be in."""
        if not future.cancelled():
            return
        with self._changed:
            for batch in self._batches:
                if task in batch.tasks:
                    batch.tasks.remove(task)
                    batch.rows -= task.rows
                    if not batch.tasks and batch is not self._batches[-1]:
                        self._batches.remove(batch)
                    return


class BatchScheduler:
    """The threads, which start with the first queue, and the queues that they serve."""

    def __init__(self, threads: int, name: str) -> None:
        self._changed = threading.Condition()
        self._queues: list[BatchQueue] = []
        self._next = 0
        self._draining = False
        self._stopping = False
        self._threads = [
            threading.Thread(target=self._work, name=f"{name}_{number}")
            for number in range(threads)
        ]
        self._started = False

    def add_queue(self, options: BatchingOptions, process: Process) -> BatchQueue:
        """Add a queue.

        Args:
          process: computes a batch on one of the threads and completes each task's future.
        """
        queue = BatchQueue(self._changed, options, process)
        with self._changed:
            self._queues.append(queue)
            if not self._started and not self._stopping:
                self._started = True
                for thread in self._threads:
                    thread.start()
        return queue

    def remove_queue(self, queue: BatchQueue) -> None:
        """Remove a queue. Tasks that wait in it are rejected, so let it run empty before."""
        with self._changed:
            self._queues.remove(queue)
            waiting = queue.close()
        _refuse(waiting)

    def drain(self) -> None:
        """Compute waiting tasks without waiting for batches to fill."""
        with self._changed:
            self._draining = True
            self._changed.notify_all()

    def stop(self) -> None:
        """Reject waiting tasks and end the threads, each after its current batch."""
        with self._changed:
            self._stopping = True
            waiting = [task for queue in self._queues for task in queue.close()]
            self._changed.notify_all()
        _refuse(waiting)

    def _work(self) -> None:
        while self._process_next():
            pass

    def _process_next(self) -> bool:
        # A method of its own: a thread that waits must not keep a batch, nor its model.
        with self._changed:
            queue = self._wait_for_queue()
            if queue is None:
                return False
            tasks = queue.take()
        running = [task for task in tasks if task.future.set_running_or_notify_cancel()]
        if not running:
            return True
        try:
            queue.process(running)
        except Exception as error:
            # Whatever goes wrong, no task may wait for ever, and the thread goes on.
            _LOG.exception("A batch failed unexpectedly")
            for task in running:
                if not task.future.done():
                    task.future.set_exception(
                        ServingError(Code.INTERNAL, f"{type(error).__name__}: {error}")
                    )
        return True

    def _wait_for_queue(self) -> BatchQueue | None:
        """The next queue in turn that has a batch for a thread; None when stopping."""
        while not self._stopping:
            now = time.monotonic()
            wake_at = float("inf")
            for step in range(len(self._queues)):
                place = (self._next + step) % len(self._queues)
                due_at = self._queues[place].due_at()
                if due_at <= now or (self._draining and due_at < float("inf")):
                    self._next = place + 1
                    return self._queues[place]
                wake_at = min(wake_at, due_at)
            self._changed.wait(None if wake_at == float("inf") else wake_at - now)
        return None


def _stopped() -> ServingError:
    return ServingError(Code.UNAVAILABLE, "The server is stopping. Try another one.")


def _refuse(tasks: list[BatchTask]) -> None:
    for task in tasks:
        if task.future.set_running_or_notify_cancel():
            task.future.set_exception(_stopped())
