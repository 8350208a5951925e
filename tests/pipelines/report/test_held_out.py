"""Held-out documents of a version, found through the run that made it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from components.model_registry.port import RegisteredVersion
from pipelines.report.gathering import gather
from pipelines.report.held_out import HeldOutError, held_out
from pipelines.report.run_records import RunRecords


def version_of(metadata_file: Path, run_id: str) -> RegisteredVersion:
    tags = {"mlmd": str(metadata_file), "pipeline_run": run_id}
    return RegisteredVersion("summarizer", 4, "", tags=tags)


def test_they_are_the_first_samples_of_the_runs_report(
    recorded_run: Callable[..., tuple[Path, str]],
) -> None:
    metadata_file, run_id = recorded_run("first_words")

    found = held_out(version_of(metadata_file, run_id), 5)

    samples = gather(metadata_file, run_id).evaluation.material.answers[:5]
    assert [(each.id, each.document, each.reference) for each in found] == [
        (each.id, each.document, each.reference) for each in samples
    ]
    assert len(held_out(version_of(metadata_file, run_id), 1000)) == 120


def test_what_is_gone_is_said(
    recorded_run: Callable[..., tuple[Path, str]], tmp_path: Path
) -> None:
    metadata_file, run_id = recorded_run("first_words")
    with pytest.raises(HeldOutError, match=r"version 4 of summarizer is not known: .*no run"):
        held_out(version_of(metadata_file, "nobody"), 3)
    with pytest.raises(HeldOutError, match="does not exist"):
        held_out(version_of(tmp_path / "none.sqlite", run_id), 3)


def test_a_run_that_was_not_evaluated_has_none(interrupted_run: tuple[Path, str]) -> None:
    with pytest.raises(HeldOutError, match="recorded no examples"):
        held_out(version_of(*interrupted_run), 3)


def test_examples_that_were_removed_are_said(
    recorded_run: Callable[..., tuple[Path, str]], tmp_path: Path
) -> None:
    metadata_file, run_id = recorded_run("first_words")
    examples = Path(RunRecords(metadata_file, run_id).output("Examples", "examples").uri)
    kept = shutil.move(examples / "Split-eval", tmp_path / "kept")
    try:
        with pytest.raises(HeldOutError, match=r"there is no file in Split-eval.*again"):
            held_out(version_of(metadata_file, run_id), 3)
    finally:
        shutil.move(kept, examples / "Split-eval")
