"""When a pipeline runs, as cron says it and as systemd does. Both mean the machine's time."""

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
      cron: the five fields, as given but for the space between them.
      minutes, hours, days, months: what they stand for.
      weekdays: from 0, a Sunday, to 6.
    """

    cron: str
    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]

    @property
    def on_calendar(self) -> str:
        """The same as an `OnCalendar=` of systemd's."""
        weekdays = ""
        if self.weekdays != _ALL_WEEKDAYS:
            # Weeks begin on Monday there.
            ordered = sorted(self.weekdays, key=lambda day: (day - 1) % 7)
            weekdays = ",".join(WEEKDAY_NAMES[day].capitalize() for day in ordered) + " "
        months, days = _listed(MONTHS, self.months), _listed(DAYS, self.days)
        hours, minutes = _listed(HOURS, self.hours), _listed(MINUTES, self.minutes)
        return f"{weekdays}*-{months}-{days} {hours}:{minutes}:00"


def read_times(cron: str) -> Times:
    """Read a crontab's five fields.

    Args:
      cron: minutes, hours, day of the month, month, day of the week: `0 3 * * *` is at 3 each
        day.

    Raises:
      CronError: it is not that, or names days of the month and of the week, which cron takes
        for one or the other and systemd for both.
    """
    texts = cron.split()
    if len(texts) != len(_FIELDS):
        hint = " Six, seconds first, are Kubeflow's." if len(texts) == len(_FIELDS) + 1 else ""
        raise CronError(
            "a schedule has five fields: minutes, hours, day of the month, month, day of the "
            f"week, such as '0 3 * * *'. Received {len(texts)}: {cron!r}.{hint}"
        )
    minutes, hours, days, months, weekdays = (
        field.values(text, cron) for text, field in zip(texts, _FIELDS, strict=True)
    )
    if not texts[2].startswith("*") and not texts[4].startswith("*"):
        raise CronError(
            "a schedule has days of the month or days of the week: cron runs on days that are "
            f"one of them, systemd on days that are both. Received: {cron!r}"
        )
    return Times(
        " ".join(texts), minutes, hours, days, months, frozenset(day % 7 for day in weekdays)
    )


def _listed(field: CronField, values: frozenset[int]) -> str:
    if len(values) == field.highest - field.lowest + 1:
        return "*"
    return ",".join(f"{value:02}" for value in sorted(values))
