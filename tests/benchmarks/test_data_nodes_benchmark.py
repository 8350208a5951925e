"""The benchmark of the data nodes measures each of them, and writes its page."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from benchmarks.data_nodes import __main__ as benchmark
from benchmarks.data_nodes.corpus import write_corpus


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """A folder as the docstring corpus is one, with 40 pairs."""
    folder = tmp_path / "pairs"
    folder.mkdir()
    rows = (
        {"document": f"Opens the record {n} at once, and closes it.", "summary": f"Open {n}."}
        for n in range(40)
    )
    (folder / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def test_a_corpus_of_any_size_repeats_no_document(pairs: Path, tmp_path: Path) -> None:
    write_corpus(pairs, 90, tmp_path / "corpus")
    (file,) = (tmp_path / "corpus").iterdir()
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert len(rows) == len({row["document"] for row in rows}) == 90
    assert rows[80] == {
        "document": "Opens the record 0 at once, and closes it. Copy 2.",
        "summary": "Open 0.",
    }


def test_without_a_corpus_it_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="Make the corpus first: tallygraph corpus docstrings"):
        write_corpus(tmp_path, 1, tmp_path / "corpus")


@pytest.mark.long
def test_a_small_corpus(pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark, "BUILD", tmp_path / "build")
    # Each node with each number of workers is a process that imports TFX: three are enough.
    first, second = "CorpusExampleGen", "StatisticsGen"
    for rows, workers, nodes in (("60", "1", [first]), ("50", "2", [first, second])):
        options = ["--rows", rows, "--workers", workers, "--nodes", *nodes]
        options += ["--corpus", str(pairs), "--output", str(tmp_path)]
        monkeypatch.setattr(sys, "argv", ["benchmarks.data_nodes", *options])
        benchmark.main()
    figures = json.loads((tmp_path / "data-nodes.json").read_text())["figures"]
    assert [(each["rows"], each["node"], each["workers"]) for each in figures] == [
        (50, first, 2),
        (50, second, 2),
        (60, first, 1),
    ]
    assert all(each["seconds"] > 0 for each in figures)
    assert all(each["resident_most"] >= each["resident_before"] > 0 for each in figures)
    page = (tmp_path / "data-nodes.md").read_text()
    assert "## 50 rows" in page
    assert "## 60 rows" in page
