"""The harness of the decode benchmark: turns, failures, shares, and what is written of them."""

from __future__ import annotations

import sys
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.decode.cases import CASES, SHAPES, Case, inputs, own_ids
from benchmarks.decode.measuring import measure_case, share_of_equal_ids
from benchmarks.decode.page import render
from benchmarks.decode.plot import draw
from benchmarks.decode.results import Measured, Results, ShapeResults
from benchmarks.environment import busy_share, machine
from benchmarks.worker import Worker

CASE = Case(2, 4, 3)
# An engine that is as slow as it is told, notes its turns, and fails when it is told to.
ENGINE = """
import sys, time
sys.path.insert(0, ".")
from benchmarks.worker_loop import serve
name, seconds, wrong, fails, log = sys.argv[1:]
calls = 0
def answer(case):
    global calls
    calls += 1
    with open(log, "a") as notes:
        notes.write(name)
    if calls == int(fails):
        raise MemoryError("no room")
    return {"seconds": float(seconds), "ids": [[1, 2, 3], [4, 5, int(wrong)]]}
serve(lambda: ({"about": name}, answer))
"""


def turns(
    tmp_path: Path, rounds: int, **engines: tuple[float, int, int]
) -> tuple[dict[str, Any], str]:
    """Measure engines of (seconds, last id, call that fails); what was found, and who ran."""
    log = tmp_path / "turns"
    with ExitStack() as stack:
        workers = {}
        for name, settings in engines.items():
            command = [sys.executable, "-c", ENGINE, name, *map(str, settings), str(log)]
            worker = Worker(name, command, tmp_path / f"{name}.log")
            workers[name] = stack.enter_context(closing(worker))
        return measure_case(workers, CASE, rounds), log.read_text()


def test_engines_take_turns_and_are_compared(tmp_path: Path) -> None:
    engines = {"a": (0.5, 6, 0), "b": (0.25, 7, 0), "transformers": (1.0, 6, 0)}
    found, order = turns(tmp_path, 3, **engines)
    names = order.replace("transformers", "t")
    assert names == "tab" + "abt" + "bta" + "tab"
    assert found["a"] == Measured(seconds=(0.5, 0.5, 0.5), equal_ids=1.0)
    assert found["b"] == Measured(seconds=(0.25, 0.25, 0.25), equal_ids=5 / 6)


def test_an_engine_that_fails_says_so_and_the_others_go_on(tmp_path: Path) -> None:
    found, _ = turns(tmp_path, 2, a=(0.5, 6, 2), transformers=(1.0, 6, 0))
    assert found["a"] == Measured(failure="MemoryError: no room")
    assert found["transformers"].seconds == (1.0, 1.0)
    found, _ = turns(tmp_path, 2, a=(0.5, 6, 0), transformers=(1.0, 6, 1))
    assert found["a"] == Measured(seconds=(0.5, 0.5), equal_ids=None)


def test_inputs_are_the_same_rows_in_every_batch() -> None:
    assert len(CASES) == len(set(CASES)) == 8
    for shape in SHAPES.values():
        rows = inputs(shape, Case(8, 128, 32))
        assert (inputs(shape, Case(1, 128, 64)) == rows[:1]).all()
        assert len({tuple(row) for row in rows.tolist()}) == 8
        own = own_ids(shape, rows)
        assert own.shape == (8, 128 - 1 - len(shape.start_ids))
        assert own.min() > max(shape.pad_id, shape.eos_id)
        assert own.max() < shape.vocabulary_size
        assert (rows[:, -1] == shape.eos_id).all()


def test_equal_ids_are_those_at_the_same_place() -> None:
    assert share_of_equal_ids([[1, 2], [3, 4]], [[1, 2], [4, 3]]) == 0.5
    with pytest.raises(ValueError, match="shorter"):
        share_of_equal_ids([[1, 2]], [[1]])


def results() -> Results:
    points = {
        Case(1, 128, 32): {
            "tallygraph": Measured((0.1, 0.2, 0.4), 1.0),
            "transformers": Measured((0.3, 0.6, 0.8), 1.0),
            "tallygraph int8": Measured((0.1, 0.2, 0.2), 1.0),
            "CTranslate2 int8": Measured(failure="RuntimeError: no such file"),
        }
    }
    engines = {name: f"{name}, of a release" for name in next(iter(points.values()))}
    return Results({"t5-small": ShapeResults(machine(), 2, 0.02, engines, points)})


def test_results_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "new" / "decode.json"
    assert Results.load(path) == Results()
    results().save(path)
    kept = Results.load(path)
    measured = results()
    same: dict[str, Any] = {"machine": measured.shapes["t5-small"].machine}
    assert {k: replace(v, **same) for k, v in kept.shapes.items()} == {
        k: replace(v, **same) for k, v in measured.shapes.items()
    }
    path.write_text(path.read_text().replace('"busy"', '"idle"'))
    with pytest.raises(ValueError, match=r"not as this release writes it: KeyError\('busy'\)"):
        Results.load(path)


def test_the_page_has_times_ratios_shares_and_failures(tmp_path: Path) -> None:
    page = render(results(), plot="decode.svg", command="make bench-decode")
    assert "| 1, 128 → 32 | 200 (100-400) | 600 (300-800) | 200 (100-200) | failed |" in page
    assert "| 1, 128 → 32 | 3.00 | failed | failed |" in page  # 3, 3 and 2 in the three rounds
    assert "| 1, 128 → 32 | 100.0% | 100.0% | not known |" in page
    assert "- CTranslate2 int8 at 1, 128 → 32: RuntimeError: no such file" in page
    assert "2% of the cores' time" in page
    draw(results(), tmp_path / "decode.svg")
    picture = (tmp_path / "decode.svg").read_text()
    assert "t5-small, batch 1" in picture
    assert "CTranslate2 int8" in picture


def test_how_busy_the_machine_is_can_be_told() -> None:
    share = busy_share(0.05)
    assert (share is None) == (sys.platform != "linux")
    assert share is None or 0 <= share <= 1
