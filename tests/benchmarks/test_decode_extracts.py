"""The corpus whose summaries copy: two sentences of each document."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.decode.extracts import LONGEST, extract, extracts, sentences
from benchmarks.worker import ROOT
from pipelines.config import load_config

DOCUMENT = "Opens a file, e.g. for reading. The file must exist. It is read from its start."


def written(file: Path, *documents: str) -> Path:
    lines = (
        json.dumps({"id": str(at), "document": document, "summary": "Read a file, the start."})
        for at, document in enumerate(documents)
    )
    file.write_text("\n".join(lines), encoding="utf-8")
    return file


def test_sentences_follow_each_other_and_leave_nothing_out() -> None:
    found = sentences(f"  {DOCUMENT}\nNo end")
    assert found == [
        "Opens a file, e.g. for reading.",
        "The file must exist.",
        "It is read from its start.",
        "No end",
    ]
    assert sentences(" ") == []
    assert sentences("...") == ["..."]


@pytest.mark.parametrize(
    ("summary", "expected"),
    [
        ("the file is read from its start", [1, 2]),
        ("start reading, opens", [0, 2]),
        ("nothing of it", [0, 2]),  # one has "it", and of the equal ones the first is taken
        ("", [0, 1]),
    ],
)
def test_the_two_sentences_nearest_to_the_summary(summary: str, expected: list[int]) -> None:
    found = sentences(DOCUMENT)
    assert extract(found, summary) == " ".join(found[at] for at in expected)


def test_only_documents_with_a_choice_are_kept(tmp_path: Path) -> None:
    long = "Word. " * LONGEST
    file = written(tmp_path / "eval.jsonl", DOCUMENT, "One. Two.", long, f"{long}More.")
    kept = [json.loads(line) for line in extracts(file)]
    assert [each["id"] for each in kept] == ["0", "2"]
    assert kept[0]["document"] == DOCUMENT
    assert kept[0]["summary"] == "The file must exist. It is read from its start."


def test_the_command_writes_each_split(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.decode.extracts"]
    empty, corpus, output = (tmp_path / name for name in ("empty", "corpus", "output"))
    run = subprocess.run([*command, empty, output], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 1
    assert "Make the corpus first: tallygraph corpus docstrings" in run.stderr
    corpus.mkdir()
    written(corpus / "train.jsonl", DOCUMENT, DOCUMENT)
    written(corpus / "eval.jsonl", DOCUMENT)
    subprocess.run([*command, corpus, output], cwd=ROOT, check=True)
    counts = {file.name: len(file.read_text().splitlines()) for file in output.iterdir()}
    assert counts == {"train.jsonl": 2, "eval.jsonl": 1}


def test_the_settings_are_t5_smalls_sizes() -> None:
    model = load_config(ROOT / "benchmarks/decode/extracts.toml").model
    assert (model.d_model, model.d_ff, model.num_layers, model.num_heads) == (512, 2048, 6, 8)
