"""Cron expressions as Kubeflow reads them."""

from __future__ import annotations

from dataclasses import replace
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

__all__ = ["CronError", "check_cron"]

_FIELDS: Final = tuple(
    replace(field, any_sign="*?")
    for field in (
        CronField("seconds", 0, 59),
        MINUTES,
        HOURS,
        DAYS,
        MONTHS,
        CronField("day of the week", 0, 6, WEEKDAY_NAMES),
    )
)
_DESCRIPTORS: Final = ("@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight")


def check_cron(cron: str) -> None:
    """Refuse what Kubeflow would refuse, and what it would take for something else.

    Kubeflow's expressions begin with seconds. Given the usual five fields it does not
    complain: it takes minutes for seconds and hours for minutes.

    Args:
      cron: six fields (`0 0 3 * * *`: at 3 each day, UTC), or a descriptor such as `@daily`.

    Raises:
      CronError: it is neither.
    """
    if cron in (*_DESCRIPTORS, "@hourly"):
        return
    fields = cron.split()
    if len(fields) != len(_FIELDS):
        hint = f" Perhaps: '0 {cron}'." if len(fields) == len(_FIELDS) - 1 else ""
        raise CronError(
            "a schedule has six fields: seconds, minutes, hours, day of the month, month, day "
            f"of the week, such as '0 0 3 * * *'. Received {len(fields)}: {cron!r}.{hint}"
        )
    for text, field in zip(fields, _FIELDS, strict=True):
        field.values(text, cron)
