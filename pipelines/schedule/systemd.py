"""A scheduled run as a systemd service and its timer."""

from __future__ import annotations

import re
from typing import Final

from pipelines.schedule.scheduled_run import ScheduledRun, ScheduleError
from pipelines.schedule.times import Times

_PLAIN: Final = re.compile(r"[\w@+=:,./{}*-]+")

_USER: Final = re.compile(r"[A-Za-z_][\w.-]{0,30}|\d{1,10}", re.ASCII)

_SERVICE: Final = """\
# Made by `tallygraph schedule systemd`.
[Unit]
Description=Tallygraph: train, validate and push
Documentation=https://www.freedesktop.org/software/systemd/man/systemd.exec.html
Wants=network-online.target
After=network-online.target

[Service]
# systemd starts no second run while one is under way. 0: pushed, or nothing to do; 3: not
# pushed, and the report says why; others: failed. Each but 0 is a failure here, for OnFailure=.
Type=oneshot
User={user}
WorkingDirectory={folder}
ExecStart={command}
# Secrets (a registry's token, an object store's keys), NAME=value; for root's eyes only.
EnvironmentFile=-/etc/tallygraph/run.env
Environment=MPLCONFIGDIR=/tmp/matplotlib
TimeoutStartSec=24h
Nice=10
IOSchedulingClass=idle
UMask=0027

# It writes its output and nothing else.
ProtectSystem=strict
ReadWritePaths={output}
ProtectHome=read-only
PrivateTmp=yes
# Trains on CPUs. With a GPU: PrivateDevices=no, and DeviceAllow= of its devices.
PrivateDevices=yes
NoNewPrivileges=yes
CapabilityBoundingSet=
AmbientCapabilities=
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM
# Not MemoryDenyWriteExecute: XLA and the C++ of Beam and Arrow make code at run time.
"""

_TIMER: Final = """\
# Made by `tallygraph schedule systemd`.
[Unit]
Description=Tallygraph: {cron}

[Timer]
OnCalendar={on_calendar}
# A time that was missed while the machine was off is made up for, once.
Persistent=yes

[Install]
WantedBy=timers.target
"""


def service_unit(run: ScheduledRun, user: str) -> str:
    """Return the service, for a file such as /etc/systemd/system/tallygraph-run.service.

    Args:
      user: the user it runs as, who must be able to write to the output folder.

    Raises:
      ScheduleError: the user's name is not valid.
    """
    if not _USER.fullmatch(user):
        raise ScheduleError(
            f"the user must be a name such as tallygraph, or a number. Received: {user!r}"
        )
    return _SERVICE.format(
        user=user,
        # A path by itself: no quotes are read here.
        folder=_percent(str(run.folder)),
        command=" ".join(_word(word).replace("$", "$$") for word in run.arguments),
        output=_word(str(run.output)),
    )


def timer_unit(times: Times) -> str:
    """Return the timer; its file has the same name as the service's."""
    return _TIMER.format(cron=times.cron, on_calendar=times.on_calendar)


def _word(text: str) -> str:
    """A word as systemd splits lines into words."""
    escaped = _percent(text)
    if _PLAIN.fullmatch(text):
        return escaped
    escaped = escaped.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _percent(text: str) -> str:
    """%h and the like stand for something."""
    return text.replace("%", "%%")
