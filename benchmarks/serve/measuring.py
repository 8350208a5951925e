"""Measures ways to call the same model in turns."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from benchmarks.environment import busy_share, machine, most, warn_if_busy
from benchmarks.serve.closed_loop import Load
from benchmarks.serve.results import BATCHED, IN_PROCESS, UNBATCHED, Measured, Section
from benchmarks.serve.servers import batching_parameters, running_server
from benchmarks.serve.subject import Subject
from benchmarks.timings import moved_on
from benchmarks.worker import Worker
from serving.engines import RunningServer

PROTOCOLS = ("REST", "gRPC")
BATCHING_PROTOCOL = "gRPC"
# Turns ask for what a worker says of a turn (benchmarks.serve.turn).
Ask = Callable[[Load], dict[str, Any]]


def measure_throughput(
    subject: Subject,
    loads: Sequence[Load],
    *,
    texts: Path,
    logs: Path,
    threads: int,
    rounds: int,
) -> Section:
    """Compare the server, over each protocol, with calls in process.

    Args:
      loads: the points.
      texts: JSON list of what is asked.
      logs: folder for logs.
      threads: of TensorFlow.
      rounds: turns of each way to ask at a point.
    """
    before = machine()
    with ExitStack() as stack:
        server = stack.enter_context(running_server(subject, threads=threads, logs=logs))
        command = _worker("in_process", texts)
        command += [f"--model={subject.version}", f"--threads={threads}"]
        in_process = _start(stack, IN_PROCESS, command, logs)
        caller = _start(stack, "clients", _worker("caller", texts), logs)
        ways: dict[str, Ask] = {
            IN_PROCESS: lambda load: in_process.ask({"load": asdict(load)}),
            **{each: _asking(caller, server, subject, each) for each in PROTOCOLS},
        }
        points, busy = take_turns(ways, loads, rounds)
        return Section(before, in_process.ready["about"], threads, busy, points)


def measure_batching(
    subject: Subject,
    loads: Sequence[Load],
    *,
    texts: Path,
    logs: Path,
    threads: int,
    rounds: int,
    batching: bool,
) -> Section:
    """Compare the server with and without batching; both run, and are called one at a time.

    Args:
      loads: the points, one row a call.
      texts, logs, threads, rounds: as in ``measure_throughput``.
      batching: False leaves the server out that batches.
    """
    before = machine()
    parameters = {UNBATCHED: ""} | ({BATCHED: batching_parameters(threads)} if batching else {})
    with ExitStack() as stack:
        caller = _start(stack, "clients", _worker("caller", texts), logs)
        ways = {}
        for way, text in parameters.items():
            server = stack.enter_context(
                running_server(subject, threads=threads, logs=logs, batching=text)
            )
            ways[way] = _asking(caller, server, subject, BATCHING_PROTOCOL)
        points, busy = take_turns(ways, loads, rounds)
    return Section(before, parameters.get(BATCHED, ""), threads, busy, points)


def take_turns(
    ways: Mapping[str, Ask], loads: Sequence[Load], rounds: int
) -> tuple[dict[tuple[int, int], dict[str, Measured]], float | None]:
    """Call in every way at every point.

    A shorter round that is not counted comes first: models allocate in it. The order rotates
    by one with each round, so that every way follows every other.

    Returns:
      What was measured, by rows and clients, and the share of the cores' time that others
      took, at most.

    Raises:
      AssertionError: two ways gave different answers to the same texts.
      benchmarks.worker.WorkerError: a call failed.
    """
    names = list(ways)
    points = {}
    busy = []
    for load in loads:
        busy.append(busy_share())
        warn_if_busy(busy[-1])
        turns: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
        for name in names:
            turns[name].append(ways[name](replace(load, seconds=load.seconds / 4)))
        expected = turns[names[0]][0]["answer"]
        for number in range(rounds):
            for name in moved_on(names, number):
                turns[name].append(ways[name](load))
        for name in names:
            for turn in turns[name]:
                if turn["answer"] != expected:
                    raise AssertionError(
                        f"{name} answers otherwise than {names[0]}. Expected: "
                        f"{expected!r:.300}. Received: {turn['answer']!r:.300}"
                    )
        point = {name: Measured.of_turns(turns[name][1:]) for name in names}
        points[load.rows, load.clients] = point
        _report(load, point)
    return points, most(busy)


def _worker(module: str, texts: Path) -> list[str]:
    return [sys.executable, "-m", f"benchmarks.serve.{module}", f"--texts={texts}"]


def _start(stack: ExitStack, name: str, command: Sequence[str], logs: Path) -> Worker:
    log = logs / f"{name.replace(' ', '-')}.log"
    return stack.enter_context(closing(Worker(name, command, log)))


def _asking(caller: Worker, server: RunningServer, subject: Subject, protocol: str) -> Ask:
    address = {"REST": server.rest_url.removeprefix("http://"), "gRPC": server.grpc_address}
    where = {"protocol": protocol, "address": address[protocol], "model": subject.name}
    return lambda load: caller.ask({**where, "load": asdict(load)})


def _report(load: Load, point: Mapping[str, Measured]) -> None:
    found = (
        f"{name} {sorted(each.rates)[len(each.rates) // 2]:,.1f}/s "
        f"(p50 {each.p50_ms:,.1f} ms, p99 {each.p99_ms:,.1f} ms, {each.calls} calls)"
        for name, each in point.items()
    )
    print(f"rows {load.rows}, clients {load.clients}: {'; '.join(found)}", flush=True)
