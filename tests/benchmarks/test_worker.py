"""Workers answer, say why they fail, and take no time while it is not their turn."""

from __future__ import annotations

import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from benchmarks.worker import Worker, WorkerError

SCRIPT = Path(__file__).with_name("echo_worker.py")
# A worker runs in the project's folder, and finds what it imports there.
START = (
    "import runpy, sys; sys.path.insert(0, '.'); "
    f"runpy.run_path({str(SCRIPT)!r}, run_name='__main__')"
)


def start(tmp_path: Path, *arguments: str) -> Worker:
    return Worker("echo", [sys.executable, "-c", START, *arguments], tmp_path / "echo.log")


def test_answers_and_errors_come_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONHASHSEED", "1")
    with closing(start(tmp_path)) as worker:
        assert worker.ready["pid"] > 0
        assert worker.ask({"n": [1, "ü"]}) == {"echo": {"n": [1, "ü"]}, "prefix": False}
        with pytest.raises(WorkerError, match=r"^ValueError: cannot do that$"):
            worker.ask("fail")
        assert worker.ask(2)["echo"] == 2
        with pytest.raises(WorkerError, match="status 7: killed by its own hand"):
            worker.ask("die")
        with pytest.raises(WorkerError, match="status 7"):
            worker.ask(3)


def test_a_worker_that_cannot_start_says_why(tmp_path: Path) -> None:
    with pytest.raises(WorkerError, match=r"^OSError: no model here$"):
        start(tmp_path, "refuse")
    with pytest.raises(WorkerError, match=r"status 1: .*No module named no_such_module_here"):
        Worker("none", [sys.executable, "-m", "no_such_module_here"], tmp_path / "log")


def test_a_worker_that_spins_takes_no_time_between_its_turns(tmp_path: Path) -> None:
    with closing(start(tmp_path, "spin")) as worker:
        before = worker.ask("cpu")["cpu_seconds"]
        time.sleep(0.5)
        after = worker.ask("cpu")["cpu_seconds"]
    assert after - before < 0.1
