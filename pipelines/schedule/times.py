"""The times of a schedule, for cron and for systemd. Both use the machine's local time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pipelines.schedule.cron_field import (
    DAYS,
    HOURS,
    MINUTES,
    MONTHS,
    WEEKDAY_NAMES,
    CronError,
    CronField,
)

# Of a crontab 7 is Sunday too.
_WEEKDAYS: Final = CronField("day of the week", 0, 7, WEEKDAY_NAMES)
_FIELDS: Final = (MINUTES, HOURS, DAYS, MONTHS, _WEEKDAYS)
_ALL_WEEKDAYS: Final = frozenset(range(7))


@dataclass(frozen=True)
class Times:
    """The times of a schedule.

    Attributes:
      cron: the five fields, as given except for the space between them.
      minutes, hours, days, months: the values that they stand for.
      weekdays: from 0 (Sunday) to 6.
    """

    cron: str
    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]

    @property
    def on_calendar(self) -> str:
        """Return the same times as systemd's `OnCalendar=`."""
        weekdays = ""
        if self.weekdays != _ALL_WEEKDAYS:
            # Weeks begin on Monday there.
            ordered = sorted(self.weekdays, key=lambda day: (day - 1) % 7)
            weekdays = ",".join(WEEKDAY_NAMES[day].capitalize() for day in ordered) + " "
        months, days = _listed(MONTHS, self.months), _listed(DAYS, self.days)
        hours, minutes = _listed(HOURS, self.hours), _listed(MINUTES, self.minutes)
        return f"{weekdays}*-{months}-{days} {hours}:{minutes}:00"


def read_times(cron: str) -> Times:
    """Parse the five fields of a crontab line.

    Args:
      cron: minutes, hours, day of the month, month, day of the week: `0 3 * * *` is daily at
        3:00.

    Raises:
      CronError: it is not such an expression, or names days of the month and of the week, which
        cron combines with "or" and systemd with "and".
    """
    texts = cron.split()
    if len(texts) != len(_FIELDS):
        hint = (
            " Six fields, seconds first, are Kubeflow's format."
            if len(texts) == len(_FIELDS) + 1
            else ""
        )
        raise CronError(
            "a schedule must have five fields: minutes, hours, day of the month, month, "
            f"day of the week, such as '0 3 * * *'. Received {len(texts)}: {cron!r}.{hint}"
        )
    minutes, hours, days, months, weekdays = (
        field.values(text, cron) for text, field in zip(texts, _FIELDS, strict=True)
    )
    if not texts[2].startswith("*") and not texts[4].startswith("*"):
        raise CronError(
            "a schedule must not have both days of the month and days of the week: cron "
            "runs on days that match either, systemd on days that match both. Received: "
            f"{cron!r}"
        )
    return Times(
        " ".join(texts), minutes, hours, days, months, frozenset(day % 7 for day in weekdays)
    )


def _listed(field: CronField, values: frozenset[int]) -> str:
    if len(values) == field.highest - field.lowest + 1:
        return "*"
    return ",".join(f"{value:02}" for value in sorted(values))
