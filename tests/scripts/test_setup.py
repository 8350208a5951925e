"""A whole set-up of a project of no packages: what it leaves, what repeats and kills change."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.scripts.checkout import (
    PYTHON,
    Checkout,
    commands_without_python,
    give_python,
    python_that_claims,
    write_command,
)

# A second run starts two interpreters and hashes a few files: 0.1 s where nothing else runs.
REPEAT_S = 10


def kill_at(stage: str, checkout: Checkout) -> None:
    """Set up, and kill it and all that it has started when it has said that."""
    process = checkout.start()
    assert process.stdout is not None
    said = ""
    while stage not in said:
        line = process.stdout.readline()
        assert line, said
        said += line
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL


def version(checkout: Checkout) -> str:
    python = checkout.folder / ".venv" / "bin" / "python"
    return subprocess.run(
        [python, "-c", "import sys; print(sys.prefix, sys.version)"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout


def test_it_makes_an_environment_and_repeating_it_does_nothing(checkout: Checkout) -> None:
    code, said = checkout.set_up()
    assert code == 0, said
    assert "ready: .venv (Python 3.1" in said
    assert version(checkout).startswith(str(checkout.folder / ".venv"))
    made = (checkout.folder / ".venv" / "pyvenv.cfg").stat().st_mtime_ns
    began = time.monotonic()
    assert checkout.set_up() == (0, "")
    assert time.monotonic() - began < REPEAT_S
    assert (checkout.folder / ".venv" / "pyvenv.cfg").stat().st_mtime_ns == made


def test_an_empty_environment_is_enough(checkout: Checkout) -> None:
    code, said = checkout.set_up(
        "env", "-i", "UV_OFFLINE=1", f"PYTHON={PYTHON}", "scripts/setup.sh"
    )
    assert code == 0, said


def test_it_needs_no_make(checkout: Checkout, tmp_path: Path) -> None:
    path = commands_without_python(tmp_path / "no_make", without=("make",))
    give_python(path, "python3")
    code, said = checkout.set_up(path=str(path))
    assert code == 0, said


@pytest.mark.parametrize("changed", ["pyproject.toml", "uv.lock", "scripts/setup/common.sh"])
def test_a_changed_input_brings_it_up_to_date(changed: str, checkout: Checkout) -> None:
    assert checkout.set_up()[0] == 0
    kept = checkout.folder / ".venv" / "kept"
    kept.touch()
    with (checkout.folder / changed).open("a", encoding="utf-8") as file:
        file.write("\n# changed\n")
    code, said = checkout.set_up()
    assert code == 0, said
    assert "bringing .venv up to date" in said
    assert "ready: .venv" in said
    assert kept.exists()


def test_a_kill_while_it_is_brought_up_to_date_has_it_made_anew(checkout: Checkout) -> None:
    assert checkout.set_up()[0] == 0
    with (checkout.folder / "uv.lock").open("a", encoding="utf-8") as file:
        file.write("\n# changed\n")
    kill_at("installing the packages", checkout)
    code, said = checkout.set_up()
    assert code == 0, said
    assert "making .venv" in said
    assert checkout.set_up() == (0, "")


def test_another_python_makes_it_anew_and_the_same_does_not(
    checkout: Checkout, tmp_path: Path
) -> None:
    assert checkout.set_up()[0] == 0
    assert checkout.set_up(PYTHON=str(PYTHON)) == (0, "")
    # As after an upgrade of the system's Python: the same path, another release.
    upgraded = tmp_path / "python"
    write_command(upgraded, python_that_claims("sys.version += ' again'"))
    code, said = checkout.set_up(PYTHON=str(upgraded))
    assert code == 0, said
    assert "ready: .venv" in said


def test_a_broken_environment_is_made_anew(checkout: Checkout) -> None:
    assert checkout.set_up()[0] == 0
    (checkout.folder / ".venv" / "bin" / "python").unlink()
    code, said = checkout.set_up()
    assert code == 0, said
    assert version(checkout)


@pytest.mark.parametrize(
    "stage", ["looking for Python", "making .venv", "installing the packages"]
)
def test_after_a_kill_in_the_middle_the_next_run_completes_it(
    stage: str, checkout: Checkout
) -> None:
    kill_at(stage, checkout)
    code, said = checkout.set_up()
    assert code == 0, said
    assert version(checkout)
    assert checkout.set_up() == (0, "")


def test_a_script_that_changes_while_it_runs_is_run_as_it_began(checkout: Checkout) -> None:
    """Bash reads a script as it goes: a pull in between would have it go on elsewhere."""
    script = checkout.folder / "scripts" / "setup.sh"
    process = checkout.start()
    assert process.stdout is not None
    said = process.stdout.readline()
    script.write_text("exit 1\n" * 2000, encoding="utf-8")
    rest, _ = process.communicate(timeout=120)
    assert process.returncode == 0, said + rest
    assert "ready: .venv" in rest
