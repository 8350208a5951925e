"""The GPU's benchmark: its plan, its page, and how it ends where there is no GPU."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.gpu.page import render
from benchmarks.gpu.plan import exports, phases
from benchmarks.gpu.summary import summary

ROOT = Path(__file__).parents[2]


def test_the_page_is_the_results() -> None:
    results = json.loads((ROOT / "docs/benchmarks/gpu.json").read_text())
    assert (ROOT / "docs/benchmarks/gpu.md").read_text() == render(results)


def test_answers_and_ids_are_compared_and_not_kept() -> None:
    def case(arithmetic: str, ids: list[list[int]]) -> dict[str, object]:
        return {"arithmetic": arithmetic, "case": [2, 8, 3], "ids": ids}

    row = ["text", 4, 2, 6, 0, "stop"]
    kept = summary(
        {
            "answers tf32": {"answers": [row, ["other", *row[1:]]]},
            "answers cpu": {"answers": [row, row]},
            "t5-small xla": {"cases": [case("tf32", [[1, 2], [3, 4]])]},
            "t5-small torch": {"cases": [case("tf32", [[9, 9], [9, 9]])]},
            "t5-small torch float32": {"cases": [case("float32", [[1, 2], [3, 5]])]},
        }
    )
    assert kept["answers tf32"] == {"texts": 2, "answers_differ": 1, "counts_differ": 0}
    assert kept["t5-small xla"]["cases"][0]["equal_rows"] == 1
    assert "ids" not in json.dumps(kept)


def test_every_phase_has_a_module_and_a_name_of_its_own() -> None:
    for small in (False, True):
        planned = [*exports(Path("material"), small), *phases(Path("material"), small)]
        assert len({phase.name for phase in planned}) == len(planned)
        for phase in planned:
            assert (ROOT / "benchmarks/gpu" / f"{phase.module}.py").is_file()
            json.dumps(phase.arguments)


@pytest.mark.long
def test_without_a_gpu_it_says_so_and_writes_nothing(tmp_path: Path) -> None:
    material, output = tmp_path / "material", tmp_path / "output"
    for name in ("version", "examples"):
        (material / name).mkdir(parents=True)
    (material / "texts.json").write_text("[]")
    for shape in ("t5-small", "bart-base"):
        (material / "subjects" / shape / "hugging_face").mkdir(parents=True)
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "benchmarks.gpu",
            f"--material={material}",
            f"--output={output}",
            "--in-turn",
        ],
        cwd=ROOT,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 1
    assert "TensorFlow sees no GPU, so there is nothing to measure" in done.stderr
    assert not list(output.glob("gpu.*"))
