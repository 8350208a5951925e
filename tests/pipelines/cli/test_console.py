"""What is held back from a person at the terminal, and what is not."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipelines.cli import app
from pipelines.cli.console import quiet_stderr

ROOT = Path(__file__).parents[3]


def test_it_says_which_version_it_is() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    result = CliRunner().invoke(app, ["--version"])
    assert (result.exit_code, result.output) == (0, f"tallygraph {project['version']}\n")


def test_what_a_native_library_writes_is_held_back(capfd: pytest.CaptureFixture[str]) -> None:
    with quiet_stderr():
        os.write(2, b"a greeting\n")
    os.write(2, b"an error\n")
    assert capfd.readouterr().err == "an error\n"


def test_it_is_shown_when_the_block_fails(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ImportError), quiet_stderr():
        os.write(2, b"a library is missing\n")
        raise ImportError
    assert capfd.readouterr().err == "a library is missing\n"


def test_a_library_that_is_missing_is_named_and_where_it_comes_from() -> None:
    """As after `git pull`, where the lock file lists more than is installed."""
    program = (
        "import sys; sys.modules['sqlalchemy'] = None; sys.argv = ['tallygraph', 'ledger', "
        "'verify']; from pipelines.cli import main; main()"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert ended.returncode == 1
    assert ended.stderr.startswith(
        "error: the library 'sqlalchemy' is not installed. Expected: "
    )
    assert "Run `make setup`" in ended.stderr
