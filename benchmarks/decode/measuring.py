"""Measures one shape: all engines are loaded, each in its own process, and take turns."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from benchmarks.decode.cases import Case, Shape
from benchmarks.decode.engine_loop import Job
from benchmarks.decode.engines import REFERENCE, Engine
from benchmarks.decode.results import Measured, ShapeResults
from benchmarks.environment import busy_share, machine, most, warn_if_busy
from benchmarks.timings import moved_on
from benchmarks.worker import Worker, WorkerError

Rows = list[list[int]]


class Started(NamedTuple):
    """Engines that were started.

    Attributes:
      workers: those that are ready, by their names.
      said: what each engine is, in the order that they were named in.
      failures: why the others are not ready.
    """

    workers: dict[str, Worker]
    said: dict[str, str]
    failures: dict[str, str]


def start_engines(
    stack: ExitStack,
    engines: Sequence[Engine],
    shape: Shape,
    *,
    directory: Path,
    peers: Path,
    threads: int,
) -> Started:
    """Start engines, which end with the stack.

    Args:
      engines: that are to take turns.
      shape: of the model.
      directory: of `benchmarks.decode.subject.make_subject`, or of a trained model; logs go
        there, too.
      peers: Python of the peers' environment.
      threads: that each engine computes with.
    """
    started = Started({}, {}, {})
    for engine in engines:
        log = directory / "logs" / f"{engine.name}.log"
        job = Job(shape, directory, threads, engine.variant)
        try:
            worker = stack.enter_context(closing(engine.start(job, peers, log)))
        except WorkerError as error:
            started.failures[engine.name] = str(error)
            started.said[engine.name] = "could not be started"
            print(f"{shape.name}: {engine.name} failed: {error}", flush=True)
            continue
        started.workers[engine.name] = worker
        started.said[engine.name] = worker.ready["about"]
        print(f"{shape.name}: {worker.ready['about']}", flush=True)
    return started


def measure_shape(
    shape: Shape,
    engines: Sequence[Engine],
    cases: Sequence[Case],
    *,
    directory: Path,
    peers: Path,
    threads: int,
    rounds: Mapping[int, int],
) -> ShapeResults:
    """Measure engines at some points.

    Args:
      shape: of the model.
      engines: that take turns.
      cases: the points.
      directory: of `benchmarks.decode.subject.make_subject`; logs go there, too.
      peers: Python of the peers' environment.
      threads: that each engine computes with.
      rounds: turns of each engine at a point, by batch size.
    """
    before = machine()
    with ExitStack() as stack:
        workers, engines_said, failures = start_engines(
            stack, engines, shape, directory=directory, peers=peers, threads=threads
        )
        unavailable = {name: Measured(failure=why) for name, why in failures.items()}
        points = {}
        busy = []
        for case in cases:
            busy.append(busy_share())  # all engines are stopped now
            warn_if_busy(busy[-1])
            found = measure_case(workers, case, rounds[case.batch]) | unavailable
            points[case] = {name: found[name] for name in engines_said}
    return ShapeResults(before, threads, most(busy), engines_said, points)


def measure_case(workers: Mapping[str, Worker], case: Case, rounds: int) -> dict[str, Measured]:
    """Let engines take turns at one point.

    The first round is not counted: engines trace, compile and allocate in it. The order rotates
    by one with each round, so that every engine follows every other.
    """
    failures: dict[str, str] = {}
    written: dict[str, Rows] = {}
    seconds: dict[str, list[float]] = defaultdict(list)
    names = list(workers)
    for turn in range(-1, rounds):
        for name in moved_on(names, turn):
            if name in failures:
                continue
            try:
                answer = workers[name].ask(case.to_json())
            except WorkerError as error:
                failures[name] = str(error)
                print(f"{case}: {name} failed: {error}", flush=True)
                continue
            if turn < 0:
                written[name] = answer["ids"]
            elif answer["ids"] != written[name]:
                failures[name] = "gave another answer to the same input"
            else:
                seconds[name].append(answer["seconds"])
    measured = {
        name: Measured(failure=failures[name])
        if name in failures
        else replace(Measured(tuple(seconds[name])), equal_ids=_equal(written, name))
        for name in names
    }
    _report(case, measured)
    return measured


def _equal(written: Mapping[str, Rows], name: str) -> float | None:
    if REFERENCE not in written:
        return None
    return share_of_equal_ids(written[name], written[REFERENCE])


def share_of_equal_ids(rows: Rows, reference: Rows) -> float:
    """Return the share of ids that are equal at the same position, in rows of the same
    lengths."""
    pairs = [
        (one, other)
        for row, wanted in zip(rows, reference, strict=True)
        for one, other in zip(row, wanted, strict=True)
    ]
    return sum(one == other for one, other in pairs) / len(pairs)


def _report(case: Case, measured: Mapping[str, Measured]) -> None:
    times = (
        f"{name} {sorted(each.seconds)[len(each.seconds) // 2] * 1e3:,.0f} ms"
        if each.seconds
        else f"{name} failed"
        for name, each in measured.items()
    )
    print(f"{case}: {', '.join(times)}", flush=True)
