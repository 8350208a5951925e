"""What `tallygraph run` does before and besides the pipeline: its folders, an interrupt."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipelines.cli import app
from pipelines.cli.run_folder import folders_of_one_run
from pipelines.layout import OutputLayout
from tests.support.waiting import wait_until
from tests.support.warm_process import start_warm

CONFIG = Path(__file__).parents[3] / "configs" / "tiny.toml"


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    path = tmp_path / "pairs.jsonl"
    rows = [{"document": f"A {n} document. It is long.", "summary": f"{n}."} for n in range(50)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def run(corpus: Path, output: Path) -> tuple[int, str]:
    arguments = ["run", f"--config={CONFIG}", f"--corpus={corpus}", f"--output={output}"]
    result = CliRunner().invoke(app, arguments)
    return result.exit_code, result.output


@pytest.mark.parametrize("output", ["/dev/null", "/dev/null/below", "/proc/tallygraph"])
def test_an_output_that_cannot_be_written_is_said(corpus: Path, output: str) -> None:
    code, said = run(corpus, Path(output))
    assert code == 2
    assert f"Cannot write into the output folder {output}: " in said
    assert "Use --output for another one." in said


def test_an_output_that_tfx_would_take_for_a_pattern_is_refused(
    corpus: Path, tmp_path: Path
) -> None:
    code, said = run(corpus, tmp_path / "out [1]")
    assert code == 2
    assert "has [ ] in its path." in said
    assert not (tmp_path / "out [1]").exists()


def test_two_runs_into_one_output_do_not_mix(corpus: Path, tmp_path: Path) -> None:
    with folders_of_one_run(OutputLayout(tmp_path / "out", "tiny")):
        code, said = run(corpus, tmp_path / "out")
    assert code == 1
    assert f"Another run of the pipeline tiny is writing into {tmp_path / 'out'}." in said


def test_an_interrupt_ends_it_and_says_what_is_kept(corpus: Path, tmp_path: Path) -> None:
    said, errors = tmp_path / "stdout", tmp_path / "stderr"
    process = start_warm(
        "pipelines.cli:main",
        ["run", f"--config={CONFIG}", f"--corpus={corpus}", f"--output={tmp_path / 'out'}"],
        tmp_path,
        os.environ,
        said,
        errors,
    )
    wait_until(
        lambda: said.exists() and "StatisticsGen" in said.read_text(),
        "the second node",
        lambda: process.exitcode,
    )
    assert process.pid is not None
    os.kill(process.pid, signal.SIGINT)
    process.join()

    assert process.exitcode == 130
    assert (
        said.read_text().splitlines()[-1].startswith("interrupted: what was complete is kept.")
    )
    assert "Traceback" not in said.read_text() + errors.read_text()


def test_a_corpus_that_is_not_there_is_said_before_anything_is_loaded(tmp_path: Path) -> None:
    code, said = run(tmp_path / "none.jsonl", tmp_path / "out")
    assert code == 2
    assert f"The corpus {tmp_path / 'none.jsonl'} does not exist." in said.replace("\n", "")
    assert "loading TFX" not in said
    assert not (tmp_path / "out").exists()
