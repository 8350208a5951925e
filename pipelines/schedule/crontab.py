"""A scheduled run as a line of a crontab."""

from __future__ import annotations

import shlex

from pipelines.schedule.scheduled_run import ScheduledRun
from pipelines.schedule.times import Times


def crontab_line(run: ScheduledRun, times: Times) -> str:
    """Return the line for the crontab of the user who runs it.

    Only one run is active at a time: if the previous one is still running, cron's run is
    skipped. Output is appended to `logs/schedule.log` in the output folder.
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
