"""`tallygraph schedule`: what it prints is what cron and systemd would start."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipelines.cli import app
from pipelines.schedule.crontab import crontab_line
from pipelines.schedule.scheduled_run import ScheduledRun, ScheduleError
from pipelines.schedule.systemd import service_unit, timer_unit
from pipelines.schedule.times import read_times

ROOT = Path(__file__).parents[3]
TIMES = read_times("0 3 * * *")
# As the tutorial's commands would have it in /opt/tallygraph, for a user tallygraph.
EXAMPLE = ScheduledRun(
    executable=Path("/opt/tallygraph/.venv/bin/tallygraph"),
    folder=Path("/opt/tallygraph"),
    config=Path("/opt/tallygraph/configs/full.toml"),
    output=Path("/srv/tallygraph"),
    corpus="/srv/tallygraph/corpus/span-{SPAN}/*.jsonl",
    span="latest",
)
NASTY = 'it\'s 100% of "$HOME" & `id` \\n; {SPAN}'


def schedule(*arguments: str) -> tuple[int, str]:
    result = CliRunner(env={"COLUMNS": "200"}).invoke(app, ["schedule", *arguments])
    return result.exit_code, result.output


def test_a_crontab_line_starts_the_command_word_by_word(tmp_path: Path) -> None:
    # Given a `tallygraph` that notes how it was started, and paths that a shell would read
    noted = tmp_path / "noted.json"
    executable = tmp_path / "tally graph"
    executable.write_text(
        f"#!{sys.executable}\nimport json, os, sys\n"
        f"json.dump([os.getcwd(), *sys.argv[1:]], open({str(noted)!r}, 'w'))\n"
        "print('printed')\n"
    )
    executable.chmod(0o755)
    folder = tmp_path / NASTY.replace("/", "")
    folder.mkdir()
    run = ScheduledRun(
        executable, folder, folder / "a.toml", folder / "out", NASTY, "latest:3", (NASTY,)
    )

    # When the line is read as cron does, and its command given to a shell
    line = crontab_line(run, TIMES)
    assert line.startswith("0 3 * * * ") and "\n" not in line
    assert "%" not in line.replace(r"\%", "")
    command = line.removeprefix("0 3 * * * ").replace(r"\%", "%")
    subprocess.run(["/bin/sh", "-c", command], cwd="/", check=True, timeout=60)

    # Then it ran where it should, with what it should, and its words are in the log
    assert json.loads(noted.read_text()) == [str(folder), *run.arguments[1:]]
    assert (folder / "out" / "logs" / "schedule.log").read_text() == "printed\n"


def test_no_run_is_started_while_one_is_under_way(tmp_path: Path) -> None:
    run = ScheduledRun(Path("/bin/echo"), tmp_path, tmp_path / "a.toml", tmp_path)
    command = crontab_line(run, TIMES).removeprefix("0 3 * * * ")
    (tmp_path / "logs").mkdir()
    lock = tmp_path / "logs" / "schedule.lock"
    held = subprocess.run(["flock", str(lock), "/bin/sh", "-c", command], timeout=60)
    assert held.returncode == 1
    assert (tmp_path / "logs" / "schedule.log").read_text() == ""


def test_the_examples_are_what_the_command_writes() -> None:
    folder = ROOT / "examples" / "systemd"
    service = service_unit(EXAMPLE, "tallygraph")
    assert (folder / "tallygraph-run.service").read_text("utf-8") == service
    assert (folder / "tallygraph-run.timer").read_text("utf-8") == timer_unit(TIMES)


def test_a_unit_has_words_that_systemd_takes_as_they_are() -> None:
    run = ScheduledRun(
        Path("/opt/a b/tallygraph"), Path("/srv/a 5%"), Path("/x.toml"), Path("/srv/o%h"), NASTY
    )
    lines = service_unit(run, "1000").splitlines()
    assert "WorkingDirectory=/srv/a 5%%" in lines
    assert 'ReadWritePaths="/srv/o%%h"' in lines
    (command,) = (line for line in lines if line.startswith("ExecStart="))
    assert command.startswith('ExecStart="/opt/a b/tallygraph" run --config=/x.toml ')
    assert command.endswith(r'''"--corpus=it's 100%% of \"$$HOME\" & `id` \\n; {SPAN}"''')


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not installed")
@pytest.mark.parametrize("cron", ["0 3 * * *", "*/20 6-8 * * mon-fri", "30 4 31 1,12 *"])
def test_systemd_takes_the_units_and_the_times(tmp_path: Path, cron: str) -> None:
    folder = tmp_path / "a b%c"
    folder.mkdir()
    run = ScheduledRun(Path("/bin/true"), folder, folder / "a.toml", folder, NASTY)
    (tmp_path / "x.service").write_text(service_unit(run, "root"))
    (tmp_path / "x.timer").write_text(timer_unit(read_times(cron)))
    units = [str(tmp_path / "x.service"), str(tmp_path / "x.timer")]
    verified = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *units],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert verified.returncode == 0, verified.stderr
    assert "x.service" not in verified.stderr and "x.timer" not in verified.stderr
    subprocess.run(
        ["systemd-analyze", "calendar", read_times(cron).on_calendar],
        check=True,
        capture_output=True,
        timeout=60,
    )


def test_paths_are_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "configs" / "tiny.toml", tmp_path / "mine.toml")
    common = ("--config=mine.toml", "--at=0 3 * * *", "--set=training.steps=40")
    code, printed = schedule("cron", *common, "--corpus=data/../span-{SPAN:2}/*.jsonl")
    assert code == 0, printed
    executable = Path(sys.executable).with_name("tallygraph")
    assert f"cd {tmp_path} && flock -n {tmp_path}/build/logs/schedule.lock " in printed
    assert f" {executable} run --config={tmp_path}/mine.toml " in printed
    assert f"'--corpus={tmp_path}/span-{{SPAN:2}}/*.jsonl' --span=latest " in printed
    assert " --set=training.steps=40 >> " in printed

    code, printed = schedule("cron", *common, "--corpus=/data/{YYYY}-{MM}-{DD}.jsonl")
    assert code == 0, printed
    assert "'--corpus=/data/{YYYY}-{MM}-{DD}.jsonl' --span=latest " in printed

    # A corpus elsewhere, without spans
    code, printed = schedule("cron", *common, "--corpus=gs://bucket/all/*.jsonl")
    assert code == 0, printed
    assert "'--corpus=gs://bucket/all/*.jsonl' --set" in printed


def test_units_are_printed_or_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = f"--config={ROOT / 'configs' / 'tiny.toml'}"
    common = ("systemd", config, "--at=0 3 * * *", "--corpus=c.jsonl", "--user=tallygraph")
    code, printed = schedule(*common)
    assert code == 0, printed
    assert "# /etc/systemd/system/tallygraph-run.service\n" in printed
    assert "\nOnCalendar=*-*-* 03:00:00\n" in printed
    assert list(tmp_path.iterdir()) == []

    code, _ = schedule(*common, "--write=units")
    assert code == 0
    service = (tmp_path / "units" / "tallygraph-run.service").read_text()
    assert service in printed and "\nUser=tallygraph\n" in service
    assert (tmp_path / "units" / "tallygraph-run.timer").read_text() in printed

    (tmp_path / "file").write_text("")
    code, printed = schedule(*common, "--write=file")
    assert code == 1 and "could not be written" in printed


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--at=0 0 3 * * *", "--corpus=c"], "five fields"),
        (["--at=0 3 * * *"], "no corpus given"),
        (["--at=0 3 * * *", "--corpus=c\n* * * * * id"], "without control characters"),
        (["--at=0 3 * * *", "--corpus=c", "--set=model.d_model=x"], "model.d_model"),
        (["--at=0 3 * * *", "--corpus=c", "--user=a\nExecStart=/x"], "the user must be a name"),
    ],
)
def test_what_cannot_run_is_refused(arguments: list[str], expected: str) -> None:
    config = f"--config={ROOT / 'configs' / 'tiny.toml'}"
    code, printed = schedule("systemd", config, *arguments)
    assert code == 2
    assert expected in " ".join(printed.split())


def test_paths_that_depend_on_where_they_are_read_are_refused() -> None:
    with pytest.raises(ScheduleError, match=r"absolute\. Received: a\.toml"):
        ScheduledRun(Path("/bin/true"), Path("/"), Path("a.toml"), Path("/out"))
