"""Measures the ways to call a model in turns, so that all see the same machine."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.environment import QUIET, machine
from benchmarks.gateway.processes import Others, processor_s
from benchmarks.gateway.results import SATURATED, Measured, Point, Results
from benchmarks.gateway.subjects import Subject, Subjects, running_subjects
from benchmarks.serve.closed_loop import Load
from benchmarks.timings import moved_on
from benchmarks.worker import Worker


def measure(
    points: Sequence[Point],
    *,
    rounds: int,
    seconds: float,
    directory: Path,
    logs: Path,
    peers: Path | None,
    versions: str,
) -> Results:
    """Call in every way at every point; then compare the ledgers with all requests.

    Args:
      rounds, seconds: turns of each way at a point, and how long one takes.
      directory, peers: see `running_subjects`.

    Raises:
      AssertionError: two ways gave different responses, or a ledger does not match the
          requests.
      RuntimeError: a server or a call failed.
    """
    before = machine()
    command = [sys.executable, "-m", "benchmarks.gateway.caller"]
    found: dict[Point, dict[str, Measured]] = {}
    busy, asked = 0.0, Counter[str]()
    with (
        running_subjects(directory, logs, peers) as subjects,
        closing(Worker("the clients", command, logs / "clients.log")) as caller,
    ):
        for point in points:
            subjects.set_delay_ms(point.delay_ms)
            # All that runs here was started by this process, but for the database's server.
            others = Others([os.getpid(), *subjects.database_pids()])
            turns = _turns(caller, subjects, point, rounds, seconds)
            share = others.share()
            busy = max(busy, share)
            if share > QUIET:
                print(
                    f"other processes took {share:.0%} of the cores: measure again when quiet"
                )
            for name, each in turns.items():
                asked[name] += sum(turn["asked"] for turn in each)
            _check_answers(turns)
            # The first is not counted: code is loaded and connections are made in it.
            found[point] = {name: Measured.of_turns(each[1:]) for name, each in turns.items()}
            _report(point, found[point])
        for name in subjects.ledgers:
            subjects.check_ledger(name, asked[name])
    return Results(before, versions, busy, found)


def _turns(
    caller: Worker, subjects: Subjects, point: Point, rounds: int, seconds: float
) -> dict[str, list[dict[str, Any]]]:
    """A short turn and so many whole ones of each way; the order moves on with each round."""
    names = list(subjects.ways)
    turns: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    for number in range(rounds + 1):
        # Many clients need longer until each has asked often enough.
        whole = seconds * (2 if point.clients >= SATURATED else 1)
        load = Load(1, point.clients, whole if number else seconds / 4)
        for name in moved_on(names, number):
            turns[name].append(_turn(caller, subjects.ways[name], load))
    return turns


def _turn(caller: Worker, subject: Subject, load: Load) -> dict[str, Any]:
    pids = {"cpu_ms": subject.pid, "database_ms": subject.database_pid}
    measured = {name: pid for name, pid in pids.items() if pid is not None}
    before = {name: processor_s(pid) for name, pid in measured.items()}
    turn = caller.ask({"target": asdict(subject.target), "load": asdict(load)})
    for name, pid in measured.items():
        turn[name] = (processor_s(pid) - before[name]) / turn["asked"] * 1e3
    return turn


def _check_answers(turns: dict[str, list[dict[str, Any]]]) -> None:
    answers = {name: turn["answer"] for name, each in turns.items() for turn in each}
    expected = next(iter(answers.values()))
    for name, answer in answers.items():
        if answer != expected:
            raise AssertionError(
                f"{name} answers otherwise. Expected: {expected!r:.200}. Received: "
                f"{answer!r:.200}"
            )


def _report(point: Point, ways: dict[str, Measured]) -> None:
    print(f"{point.clients} clients, {point.delay_ms:g} ms", flush=True)
    for name, each in ways.items():
        cpu = f", {median(each.cpu_ms):.2f} ms CPU" if each.cpu_ms else ""
        cpu += f" + {median(each.database_ms):.2f}" if each.database_ms else ""
        print(
            f"  {name:24} {median(each.rates):8,.0f}/s, p50 {median(each.p50s_ms):7.2f} ms, "
            f"p99 {median(each.p99s_ms):7.2f} ms{cpu}, {each.requests} requests",
            flush=True,
        )
