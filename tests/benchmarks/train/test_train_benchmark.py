"""The training benchmark: both sides get the same rows, and the page says what was measured."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path

import numpy as np
import pytest

from benchmarks.train.job import SHAPES, training_job, write_batches, write_examples
from benchmarks.train.measure import Result, in_turns
from benchmarks.train.table import REFERENCE, render
from benchmarks.worker import Worker
from pipelines.training.job import TrainingJob

# A side whose calls take as long as they are many; its loss is their number.
SIDE = """
import sys
sys.path.insert(0, ".")
from benchmarks.worker_loop import serve
calls = 0
def make_steps(count):
    global calls
    calls += 1
    return {"seconds": calls / float(sys.argv[1]), "loss": float(calls)}
serve(lambda: ({"parameters": 7}, make_steps))
"""


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("benchmark")
    words = ["file", "list", "string", "tensor", "model", "server", "record", "table", "value"]
    rows = [
        {
            "document": f"The {a} of a {b} is read " + f"and the {b} is kept " * (i % 7),
            "summary": f"Read the {a} of a {b}.",
        }
        for i, (a, b) in enumerate((a, b) for a in words for b in words)
    ]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (root / "train.jsonl").write_text(text, encoding="utf-8")
    return root


def test_plain_padding_has_the_same_rows_in_wider_batches(directory: Path) -> None:
    vocabulary_size = write_examples(directory, directory)
    job = training_job(SHAPES[0], vocabulary_size, directory, batch_size=4)
    bucketed, plain = (
        _read(write_batches, job, directory / f"{padding}.npz", padding)
        for padding in ("bucketed", "plain")
    )
    assert len(bucketed) == len(plain) == 12
    assert sorted(_rows(bucketed)) == sorted(_rows(plain))
    for batch in plain:
        for side in ("encoder", "decoder"):
            mask = batch[f"{side}_padding_mask"]
            assert mask.sum(axis=1).max() == mask.shape[1]


def _read(
    write: Callable[..., None], job: TrainingJob, file: Path, padding: str
) -> list[dict[str, np.ndarray]]:
    write(job, 12, file, padding)
    arrays = np.load(file)
    names = {name.split("/")[1] for name in arrays.files}
    return [{name: arrays[f"{i}/{name}"] for name in names} for i in range(12)]


def _rows(batches: list[dict[str, np.ndarray]]) -> list[tuple[tuple[int, ...], ...]]:
    return [
        tuple(
            tuple(batch[name][i][batch[f"{side}_padding_mask"][i] == 1].tolist())
            for name, side in (("encoder_token_ids", "encoder"), ("labels", "decoder"))
        )
        for batch in batches
        for i in range(4)
    ]


def test_the_page_has_medians_and_ratios() -> None:
    results = [
        Result("T5", REFERENCE, 1000, (100.0, 110.0, 90.0), 5.0),
        Result("T5", "tallygraph, float32", 1000, (150.0, 140.0, 160.0), 5.0),
    ]
    page = render(
        results, environment="E", command="C", batch_size=16, threads=2, rounds=3, steps=60
    )
    assert "| tallygraph, float32 | 1,000 | 150 (140-160) | 1.50 | 5.00 |" in page
    assert f"| {REFERENCE} | 1,000 | 100 (90-110) | 1.00 | 5.00 |" in page


def test_sides_take_turns_and_the_first_is_not_counted(tmp_path: Path) -> None:
    with ExitStack() as stack:
        sides = [
            stack.enter_context(
                closing(
                    Worker(name, [sys.executable, "-c", SIDE, speed], tmp_path / f"{name}.log")
                )
            )
            for name, speed in (("slow", "1"), ("quick", "2"))
        ]
        results = in_turns(sides, SHAPES[0], batch_size=4, steps=10, rounds=2)
    # 10 steps of 4 rows; the second call takes twice the first's time, the third thrice.
    assert results == [
        Result(SHAPES[0].name, "slow", 7, (20.0, 40 / 3), 3.0),
        Result(SHAPES[0].name, "quick", 7, (40.0, 40 / 1.5), 3.0),
    ]
