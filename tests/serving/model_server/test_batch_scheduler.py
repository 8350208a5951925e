"""Which tasks are computed together, when, and what is refused."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from serving.model_server.batch_scheduler import BatchQueue, BatchScheduler, BatchTask
from serving.model_server.batching_options import BatchingOptions
from serving.model_server.errors import ServingError
from serving.protocol.statuses import Code
from tests.support.waiting import wait_until

LONG_US = 60_000_000
DEADLINE_S = 120.0
Add = Callable[..., BatchQueue]


def task(rows: int = 1) -> BatchTask:
    return BatchTask([np.zeros([rows])], rows)


class Processor:
    """Ends each task with its inputs, and remembers the sizes of the batches."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.may_go_on = threading.Event()
        self.may_go_on.set()
        self.begun = threading.Semaphore(0)

    def __call__(self, tasks: list[BatchTask]) -> None:
        self.batches.append([each.rows for each in tasks])
        self.begun.release()
        assert self.may_go_on.wait(DEADLINE_S)
        for each in tasks:
            each.future.set_result(each.inputs)

    def hold(self, queue: BatchQueue) -> BatchTask:
        """Keep one thread busy with a task, until ``may_go_on`` is set."""
        self.may_go_on.clear()
        first = task()
        queue.submit(first)
        assert self.begun.acquire(timeout=DEADLINE_S)
        return first


@pytest.fixture
def scheduler() -> Iterator[BatchScheduler]:
    scheduler = BatchScheduler(1, "test")
    yield scheduler
    scheduler.stop()


@pytest.fixture
def processor() -> Iterator[Processor]:
    processor = Processor()
    yield processor
    processor.may_go_on.set()


def options(size: int, timeout_us: int = 0, enqueued: int = 10) -> BatchingOptions:
    return BatchingOptions(size, timeout_us, enqueued)


def test_a_full_batch_does_not_wait(scheduler: BatchScheduler, processor: Processor) -> None:
    queue = scheduler.add_queue(options(4, LONG_US), processor)
    tasks = [task(2), task(1), task(1)]
    for each in tasks:
        queue.submit(each)
    for each in tasks:
        assert each.future.result(DEADLINE_S) is each.inputs
    assert processor.batches == [[2, 1, 1]]


def test_a_batch_that_a_task_does_not_fit_into_is_closed(
    scheduler: BatchScheduler, processor: Processor
) -> None:
    queue = scheduler.add_queue(options(4, LONG_US), processor)
    for rows in (3, 2, 2):
        queue.submit(last := task(rows))
    last.future.result(DEADLINE_S)
    assert processor.batches == [[3], [2, 2]]


def test_the_first_task_waits_no_longer_than_the_timeout(
    scheduler: BatchScheduler, processor: Processor
) -> None:
    queue = scheduler.add_queue(options(1000, 200_000), processor)
    started = time.monotonic()
    tasks = [task(), task()]
    for each in tasks:
        queue.submit(each)
    submitted_s = time.monotonic() - started
    for each in tasks:
        each.future.result(DEADLINE_S)
    assert time.monotonic() - started >= 0.2
    # On a machine that pauses between the two, the first one has waited long enough by then.
    assert processor.batches == [[1, 1]] or submitted_s >= 0.2


def test_without_a_timeout_a_free_thread_takes_what_is_there(
    scheduler: BatchScheduler, processor: Processor
) -> None:
    queue = scheduler.add_queue(options(1000), processor)
    processor.hold(queue)
    tasks = [task() for _ in range(5)]
    for each in tasks:
        queue.submit(each)
    processor.may_go_on.set()
    for each in tasks:
        each.future.result(DEADLINE_S)
    assert processor.batches == [[1], [1, 1, 1, 1, 1]]


def test_more_rows_than_a_batch_may_have(
    scheduler: BatchScheduler, processor: Processor
) -> None:
    queue = scheduler.add_queue(options(4), processor)
    with pytest.raises(ServingError) as refused:
        queue.submit(task(5))
    assert refused.value.code is Code.INVALID_ARGUMENT
    assert refused.value.message == "Task size 5 is larger than maximum input batch size 4"


def test_a_full_queue(scheduler: BatchScheduler, processor: Processor) -> None:
    queue = scheduler.add_queue(options(2, enqueued=2), processor)
    processor.hold(queue)
    waiting = [task(2), task(1)]
    for each in waiting:
        queue.submit(each)
    with pytest.raises(ServingError) as refused:
        queue.submit(task(2))
    assert refused.value.code is Code.UNAVAILABLE
    assert refused.value.message == (
        "The batch scheduling queue to which this task was submitted is full; currently 2 "
        "batches enqueued and max_enqueued_batches is 2"
    )
    queue.submit(last := task(1))  # the open batch has room for it
    processor.may_go_on.set()
    for each in (*waiting, last):
        each.future.result(DEADLINE_S)
    assert processor.batches == [[1], [2], [1, 1]]


def test_one_full_queue_does_not_stop_another(
    scheduler: BatchScheduler, processor: Processor
) -> None:
    full = scheduler.add_queue(options(1, enqueued=1), processor)
    processor.hold(full)
    full.submit(task())
    with pytest.raises(ServingError):
        full.submit(task())
    other = Processor()
    scheduler.add_queue(options(1), other).submit(last := task())
    processor.may_go_on.set()
    last.future.result(DEADLINE_S)
    assert other.batches == [[1]]


def test_queues_take_turns(scheduler: BatchScheduler, processor: Processor) -> None:
    order: list[str] = []

    def named(name: str) -> BatchQueue:
        def process(tasks: list[BatchTask]) -> None:
            order.append(name)
            for each in tasks:
                each.future.set_result(each.inputs)

        return scheduler.add_queue(options(1), process)

    first, second = named("a"), named("b")
    processor.hold(scheduler.add_queue(options(1), processor))
    for queue in (first, first, first, second, second):
        queue.submit(last := task())
    del last
    tail = task()
    first.submit(tail)
    processor.may_go_on.set()
    tail.future.result(DEADLINE_S)
    assert order == ["a", "b", "a", "b", "a", "a"]


def test_a_task_that_is_cancelled_gives_its_rows_back(
    scheduler: BatchScheduler, processor: Processor
) -> None:
    queue = scheduler.add_queue(options(2, enqueued=2), processor)
    processor.hold(queue)
    gone = [task(2), task(2)]
    for each in gone:
        queue.submit(each)
    with pytest.raises(ServingError):
        queue.submit(task())
    for each in gone:
        assert each.future.cancel()
    stays = [task(2), task(1), task(1)]
    for each in stays:
        queue.submit(each)
    processor.may_go_on.set()
    for each in stays:
        each.future.result(DEADLINE_S)
    assert processor.batches == [[1], [2], [1, 1]]


def test_a_batch_that_fails_in_a_way_it_should_not(scheduler: BatchScheduler) -> None:
    def process(tasks: list[BatchTask]) -> None:
        raise ZeroDivisionError(f"{len(tasks)} tasks")

    queue = scheduler.add_queue(options(1), process)
    for _ in range(2):  # the thread goes on
        queue.submit(failed := task())
        error = failed.future.exception(DEADLINE_S)
        assert isinstance(error, ServingError)
        assert (error.code, error.message) == (Code.INTERNAL, "ZeroDivisionError: 1 tasks")


def test_draining_does_not_wait_for_a_batch_to_fill(
    scheduler: BatchScheduler, processor: Processor
) -> None:
    queue = scheduler.add_queue(options(8, LONG_US), processor)
    queue.submit(before := task())
    scheduler.drain()
    before.future.result(DEADLINE_S)
    queue.submit(after := task())
    after.future.result(DEADLINE_S)
    assert processor.batches == [[1], [1]]


def test_stop_refuses_what_waits_and_ends_what_has_begun(processor: Processor) -> None:
    scheduler = BatchScheduler(1, "test-stop")
    queue = scheduler.add_queue(options(1), processor)
    begun = processor.hold(queue)
    queue.submit(waiting := task())
    scheduler.stop()
    error = waiting.future.exception(DEADLINE_S)
    assert isinstance(error, ServingError)
    assert error.code is Code.UNAVAILABLE
    with pytest.raises(ServingError):
        queue.submit(task())
    processor.may_go_on.set()
    assert begun.future.result(DEADLINE_S) is begun.inputs
    wait_until(
        lambda: not any(t.name.startswith("test-stop_") for t in threading.enumerate()),
        "the threads' end",
    )


def test_a_queue_that_is_removed_refuses(
    scheduler: BatchScheduler, processor: Processor
) -> None:
    queue = scheduler.add_queue(options(8, LONG_US), processor)
    queue.submit(waiting := task())
    scheduler.remove_queue(queue)
    with pytest.raises(ServingError):
        waiting.future.result(DEADLINE_S)
    with pytest.raises(ServingError):
        queue.submit(task())
    assert processor.batches == []
