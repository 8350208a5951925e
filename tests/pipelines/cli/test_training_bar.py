"""Training as a person sees it: a bar on a terminal, lines in a log."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
# What a run does, without the run: each record is as training makes it.
PROGRAM = """
import logging, os, sys
from pathlib import Path
from pipelines.cli.console import logs_to_file
from pipelines.training.standing import LOGGER, Standing, log_standing

with logs_to_file(Path(sys.argv[1])) as terminal:
    terminal.print("Trainer")
    log_standing(Standing(1, 10, 9.125, 50.0), logging.DEBUG, "0:10 min")
    log_standing(Standing(5, 10, 8.125, 60.0), logging.INFO, "0:05 min")
    os.write(1, b"what TFX has to say\\n")
    LOGGER.info("a validation")
    log_standing(Standing(10, 10, 7.125, 70.0, over=sys.argv[2] == "over"), logging.DEBUG)
    terminal.print("Meter")
"""


def command(log: Path, end: str) -> list[str]:
    return [sys.executable, "-c", PROGRAM, str(log), end]


def on_a_terminal(log: Path, end: str, term: str = "xterm", columns: int = 100) -> str:
    """What a terminal is sent."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": term, "COLUMNS": str(columns)}
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        environment.pop(name, None)
    process = subprocess.Popen(command(log, end), cwd=ROOT, stdout=theirs, env=environment)
    os.close(theirs)
    sent = b""
    while True:
        try:
            read = os.read(ours, 65_536)
        except OSError:  # Linux's way to say that the other end is closed
            break
        if not read:
            break
        sent += read
    os.close(ours)
    assert process.wait() == 0
    return sent.decode()


@pytest.mark.parametrize("end", ["over", "broken off"])
def test_a_terminal_has_a_bar_below_what_is_printed(tmp_path: Path, end: str) -> None:
    sent = on_a_terminal(tmp_path / "run.log", end)
    assert "10/10" in sent and "loss 7.125" in sent and "70 examples/s" in sent
    assert "step 5/10" not in sent
    assert sent.index("Trainer") < sent.index("a validation") < sent.index("Meter")
    assert "what TFX has to say" not in sent
    # The cursor, which a bar hides, is there again.
    assert sent.rindex("\x1b[?25h") > sent.rindex("\x1b[?25l")


def test_a_narrow_terminal_has_a_line_that_fits(tmp_path: Path) -> None:
    sent = on_a_terminal(tmp_path / "run.log", "over", columns=60)
    assert "10/10" in sent and "examples/s" not in sent
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", sent)
    assert max(len(line) for line in re.split(r"[\r\n]", shown)) <= 60


def test_the_log_has_the_lines_all_the_same(tmp_path: Path) -> None:
    on_a_terminal(tmp_path / "run.log", "over")
    log = (tmp_path / "run.log").read_text()
    assert "step 5/10  loss 8.125  60 examples/s  0:05 min left" in log
    assert "what TFX has to say" in log
    assert "step 1/10" not in log


def test_no_terminal_has_plain_lines(tmp_path: Path) -> None:
    done = subprocess.run(
        command(tmp_path / "run.log", "over"),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == (
        "Trainer\n"
        "        step 5/10  loss 8.125  60 examples/s  0:05 min left\n"
        "        a validation\n"
        "Meter\n"
    )


@pytest.mark.parametrize(("term", "columns"), [("dumb", 100), ("xterm", 40)])
def test_a_terminal_that_cannot_go_back_or_is_too_narrow_has_plain_lines(
    tmp_path: Path, term: str, columns: int
) -> None:
    sent = on_a_terminal(tmp_path / "run.log", "over", term, columns)
    assert "step 5/10  loss 8.125" in sent
    assert "10/10" not in sent
