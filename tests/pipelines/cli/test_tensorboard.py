"""`tallygraph tensorboard`: a server on this machine that shows what training has written."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from pipelines.cli import app
from pipelines.layout import OutputLayout
from pipelines.training.progress import Progress
from pipelines.training.settings import TrainingSettings
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[3]
COMMAND = (sys.executable, "-c", "from pipelines.cli import main; main()", "tensorboard")


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """The logs of one run of the pipeline `quickstart`, in an output folder."""
    folder = OutputLayout(tmp_path, "quickstart").training_logs
    progress = Progress(folder / "7", TrainingSettings(), 0, [])
    progress.stepped(1, nats=6.0, labels=2.0, examples=8)
    progress.validated(1, 1.25, True, 0.01, time.monotonic())
    progress.close()
    return folder


@pytest.mark.long
def test_it_shows_the_losses_on_this_machine_until_it_is_interrupted(
    logs: Path, tmp_path: Path
) -> None:
    printed, errors = tmp_path / "printed", tmp_path / "errors"
    options = ["--config", str(ROOT / "configs" / "quickstart.toml"), "--output", str(tmp_path)]
    with printed.open("w") as stdout, errors.open("w") as stderr:
        process = subprocess.Popen(
            [*COMMAND, *options, "--port", "0"], cwd=ROOT, stdout=stdout, stderr=stderr
        )
    try:
        wait_until(lambda: "Ctrl-C" in printed.read_text(), "its address", process.poll)
        found = re.search(r"http://127\.0\.0\.1:\d+/", printed.read_text())
        assert found, printed.read_text()
        with httpx.Client(base_url=found[0], timeout=60) as client:
            page = client.get("/")
            assert page.status_code == 200
            assert "TensorBoard" in page.text

            def tags() -> dict[str, dict[str, object]]:
                answer = client.get("data/plugin/scalars/tags")
                return json.loads(answer.text) if answer.status_code == 200 else {}

            wait_until(lambda: "val_loss" in tags().get("7", {}), "the run", process.poll)
            points = client.get(
                "data/plugin/scalars/scalars", params={"run": "7", "tag": "val_loss"}
            )
            assert [(step, value) for _, step, value in points.json()] == [(1, 1.25)]
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 0, errors.read_text()
        assert printed.read_text().endswith("stopped\n")
    finally:
        process.kill()
        process.wait()


def test_a_pipeline_that_has_trained_nothing_is_an_error(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["tensorboard", "--output", str(tmp_path)])
    assert done.exit_code == 2
    assert "does not exist. Expected: the logs of a training" in done.output


def test_settings_that_cannot_be_read_are_an_error(tmp_path: Path) -> None:
    options = ["--config", str(tmp_path / "none.toml"), "--output", str(tmp_path)]
    done = CliRunner().invoke(app, ["tensorboard", *options])
    assert done.exit_code == 2
    assert "none.toml does not exist" in done.output
