"""Checks cron expressions for Kubeflow."""

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
    """Refuse expressions that Kubeflow would refuse or misread.

    Kubeflow's expressions begin with seconds. Given the usual five fields, it does not
    complain, but reads minutes as seconds and hours as minutes.

    Args:
      cron: six fields (`0 0 3 * * *`: daily at 3:00 UTC), or a descriptor such as `@daily`.

    Raises:
      CronError: it is neither.
    """
    if cron in (*_DESCRIPTORS, "@hourly"):
        return
    fields = cron.split()
    if len(fields) != len(_FIELDS):
        hint = f" Did you mean '0 {cron}'?" if len(fields) == len(_FIELDS) - 1 else ""
        raise CronError(
            "a schedule must have six fields: seconds, minutes, hours, day of the month, "
            f"month, day of the week, such as '0 0 3 * * *'. Received {len(fields)}: "
            f"{cron!r}.{hint}"
        )
    for text, field in zip(fields, _FIELDS, strict=True):
        field.values(text, cron)
