"""Computes one loaded version's requests together, several in one run of its graph.

Works like TensorFlow Serving's ``BatchingSession``: a queue for each set of tensors fed and
fetched.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future

import numpy as np

from serving.model_server.batch_scheduler import BatchQueue, BatchScheduler, BatchTask
from serving.model_server.batch_tensors import batch_rows, merge, split
from serving.model_server.batching_options import BatchingOptions
from serving.model_server.errors import ServingError
from serving.model_server.metrics import Metrics
from serving.model_server.run_plan import RunPlan
from serving.protocol.statuses import Code

Compute = Callable[[RunPlan, Sequence[np.ndarray], int], list[np.ndarray]]


class ModelBatcher:
    """One loaded version's queues. Safe for use by many threads."""

    def __init__(
        self,
        compute: Compute,
        scheduler: BatchScheduler,
        options: BatchingOptions,
        metrics: Metrics,
    ) -> None:
        """
        Args:
          compute: runs the graph on a plan, an array for each feed, and a limit in ms.
        """
        self._compute = compute
        self._scheduler = scheduler
        self._options = options
        self._metrics = metrics
        self._queues: dict[tuple[tuple[str, ...], tuple[str, ...]], BatchQueue] = {}
        self._lock = threading.Lock()

    def submit(
        self, plan: RunPlan, inputs: list[np.ndarray], timeout_ms: int
    ) -> Future[list[np.ndarray]]:
        """Put a request into a batch.

        Args:
          inputs: an array for each feed of the plan, all of the same number of rows, at
            least one.
          timeout_ms: time limit of the request; 0 for no limit. The longest limit of its
            requests applies to a batch.

        Returns:
          An array for each fetch of the plan, with the request's rows.

        Raises:
          ServingError: the inputs cannot be batched, or the queue is full.
        """
        rows = batch_rows(inputs)
        for array in inputs:
            self._metrics.input_batch_size.add(value=array.shape[0])
        task = BatchTask(inputs, rows, timeout_ms)
        self._queue(plan).submit(task)
        return task.future

    def close(self) -> None:
        """Remove the queues. No request may be waiting."""
        with self._lock:
            queues = list(self._queues.values())
            self._queues.clear()
        for queue in queues:
            self._scheduler.remove_queue(queue)

    def _queue(self, plan: RunPlan) -> BatchQueue:
        key = (plan.feeds, plan.fetches)
        with self._lock:
            if (queue := self._queues.get(key)) is None:
                queue = self._scheduler.add_queue(
                    self._options, lambda tasks: self._process(plan, tasks)
                )
                self._queues[key] = queue
        return queue

    def _process(self, plan: RunPlan, tasks: list[BatchTask]) -> None:
        try:
            parts = self._run(plan, tasks)
        except ServingError as error:
            # As in TensorFlow Serving, one request can fail those it is computed with.
            for task in tasks:
                task.future.set_exception(
                    ServingError(error.code, error.message, error.http_status)
                )
            return
        for task, outputs in zip(tasks, parts, strict=True):
            task.future.set_result(outputs)

    def _run(self, plan: RunPlan, tasks: list[BatchTask]) -> list[list[np.ndarray]]:
        timeout_ms = self._timeout_ms(tasks)
        rows = [task.rows for task in tasks]
        batch_size = self._options.padded_size(sum(rows))
        padding = batch_size - sum(rows)
        self._metrics.padding_size.add(str(batch_size), value=padding)
        self._metrics.processed_batch_size.add(value=batch_size)
        merged = [
            merge(name, arrays, padding, self._options.pad_variable_length_inputs)
            for name, *arrays in zip(plan.feeds, *(task.inputs for task in tasks), strict=True)
        ]
        try:
            outputs = self._compute(plan, merged, timeout_ms)
        finally:
            self._metrics.wrapped_runs.add()
        return split(outputs, rows, batch_size)

    def _timeout_ms(self, tasks: list[BatchTask]) -> int:
        """The longest that a task of the batch allows. It is not lessened by the time spent
        waiting, because each other limit would make TensorFlow prepare the graph anew."""
        now = time.monotonic()
        for task in tasks:
            self._metrics.queuing_latency.add(
                self._options.thread_pool_name, value=(now - task.enqueued_at) * 1e6
            )
        alive = [
            task.timeout_ms
            for task in tasks
            if task.timeout_ms <= 0 or task.enqueued_at + task.timeout_ms / 1e3 > now
        ]
        if not alive:
            raise ServingError(
                Code.RESOURCE_EXHAUSTED,
                "Run() timeout exceeded while waiting in batching queue",
            )
        return 0 if min(alive) <= 0 else max(alive)
