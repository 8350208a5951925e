"""A scheduled run as a line of a crontab."""

from __future__ import annotations

import shlex

from pipelines.schedule.scheduled_run import ScheduledRun
from pipelines.schedule.times import Times


def crontab_line(run: ScheduledRun, times: Times) -> str:
    """The line, for the crontab of the user who is to run it.

    One run at a time: where the one before is still under way, cron's is left out. What it
    prints is appended to `logs/schedule.log` of the output folder.
    """
    logs = run.output / "logs"
    lock, log = (
        shlex.quote(str(logs / "schedule.lock")),
        shlex.quote(str(logs / "schedule.log")),
    )
    command = (
        f"mkdir -p {shlex.quote(str(logs))} && cd {shlex.quote(str(run.folder))} && "
        f"flock -n {lock} {shlex.join(run.arguments)} >> {log} 2>&1"
    )
    # To cron a bare % is the end of the line.
    return f"{times.cron} {command}".replace("%", r"\%")
