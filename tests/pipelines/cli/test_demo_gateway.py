"""From a pushed model to an invoice, by its one command."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from pipelines.cli import app
from serving.ledger.verification import verify
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[3]
COMMAND = (sys.executable, "-c", "from pipelines.cli import main; main()", "demo-gateway")


@pytest.fixture
def model_dir(metered_models: Path, tmp_path: Path) -> Path:
    """A small metered model's folder, as a push leaves it, by a name that no other test has."""
    return shutil.copytree(metered_models, tmp_path / "models" / "summarizer")


def objects(printed: str) -> list[dict[str, Any]]:
    """The JSON objects in what was printed."""
    found, decoder, place = [], json.JSONDecoder(), 0
    while (place := printed.find("\n{", place)) >= 0:
        value, place = decoder.raw_decode(printed, place + 1)
        found.append(value)
    return found


def demo(model_dir: Path, *options: str, **environment: str) -> str:
    done = subprocess.run(
        [*COMMAND, "--model-dir", str(model_dir), "--engine", "local", *options],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def processes_that_name(folder: Path) -> list[str]:
    listed = psutil.process_iter(["cmdline"])
    commands = [" ".join(each.info["cmdline"] or ()) for each in listed]
    return [command for command in commands if str(folder) in command]


def test_from_a_pushed_model_to_an_invoice(model_dir: Path, tmp_path: Path) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    printed = demo(model_dir, "--text", "one two three", TMPDIR=str(temporary))
    answer, entry, invoice = objects(printed)
    assert answer == {
        "content": "ONE TWO THREE",
        "finish_reason": "stop",
        "usage": {
            "prompt_tokens": 3,
            "completion_tokens": 3,
            "total_tokens": 6,
            "prompt_tokens_details": {"cached_tokens": 0, "truncated_tokens": 0},
        },
    }
    # 3 input tokens for 0.4 millionths each, 3 output tokens for 1.6.
    counts = (entry["input_tokens"], entry["output_tokens"])
    assert (counts, entry["model_version"]) == ((3, 3), "7")
    assert (entry["amount_micro"], entry["currency"]) == (6, "EUR")
    assert "1 entries checked, 0 findings" in printed
    assert invoice["total_micro"] == 6
    # Nothing is left: no file, no process.
    assert [path.name for path in temporary.iterdir()] == []
    assert processes_that_name(model_dir) == []


@pytest.mark.long
def test_again_in_the_same_folder(model_dir: Path, tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    for count in (1, 2):
        printed = demo(model_dir, "--text", "one two", "--folder", str(folder))
        assert f"{count} entries checked, 0 findings" in printed
    engine = sa.create_engine(f"sqlite:///{folder}/ledger.sqlite")
    assert verify(engine) == (2, [])
    engine.dispose()
    lines = (folder / "gateway.log").read_text("utf-8").splitlines()
    requests = [json.loads(line) for line in lines if line.startswith("{")]
    assert [line["status"] for line in requests if line["event"] == "request"] == [200, 200]
    assert (folder / "model-server.log").exists()


@pytest.mark.long
def test_an_interrupt_ends_both_servers(model_dir: Path, tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    process = subprocess.Popen(
        [*COMMAND, "--model-dir", str(model_dir), "--engine", "local", "--folder", folder],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
    )
    # The command itself, the model server and the gateway.
    wait_until(lambda: len(processes_that_name(model_dir)) == 3, "both servers", process.poll)
    process.send_signal(signal.SIGTERM)
    process.wait(300)
    assert processes_that_name(model_dir) == []


def test_without_a_model_it_says_what_to_do(tmp_path: Path) -> None:
    result = CliRunner(env={"COLUMNS": "300"}).invoke(
        app, ["demo-gateway", "--model-dir", str(tmp_path / "none")]
    )
    assert result.exit_code == 2
    assert "contains no version" in result.output
    assert "`make demo`" in result.output


@pytest.mark.long
def test_a_gateway_that_does_not_start_says_why(model_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "prices.toml").write_text("currency = 1")
    done = subprocess.run(
        [*COMMAND, "--model-dir", str(model_dir), "--engine", "local", "--folder", tmp_path],
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "300"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 1
    assert "The gateway ended with status 2 before it was ready" in done.stderr
    assert "of ISO 4217 that can be paid in" in done.stderr
    assert processes_that_name(model_dir) == []
