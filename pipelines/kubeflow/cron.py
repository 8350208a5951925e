"""Cron expressions as Kubeflow reads them."""

from __future__ import annotations

import re
from typing import Final

_FIELDS: Final = (
    ("seconds", 0, 59, ()),
    ("minutes", 0, 59, ()),
    ("hours", 0, 23, ()),
    ("day of the month", 1, 31, ()),
    (
        "month",
        1,
        12,
        ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"),
    ),
    ("day of the week", 0, 6, ("sun", "mon", "tue", "wed", "thu", "fri", "sat")),
)
_PART: Final = re.compile(r"(\*|\?|\w+(?:-\w+)?)(?:/(\d+))?")
_DESCRIPTORS: Final = ("@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight")


class CronError(ValueError):
    """No cron expression of the kind that is needed."""


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
    for text, (name, lowest, highest, names) in zip(fields, _FIELDS, strict=True):
        for part in text.split(","):
            if not _is_part(part, lowest, highest, names):
                raise CronError(
                    f"the schedule's {name} must be *, numbers from {lowest} to {highest}, "
                    f"ranges or steps of them. Received: {text!r} in {cron!r}"
                )


def _is_part(part: str, lowest: int, highest: int, names: tuple[str, ...]) -> bool:
    match = _PART.fullmatch(part)
    if match is None or match[2] == "0":
        return False
    if match[1] in "*?":
        return True
    ends = [_value(end, lowest, names) for end in match[1].split("-")]
    return all(end is not None and lowest <= end <= highest for end in ends) and (
        len(ends) == 1 or ends[0] <= ends[1]  # type: ignore[operator]
    )


def _value(text: str, lowest: int, names: tuple[str, ...]) -> int | None:
    if text.isdecimal():
        return int(text)
    return names.index(text.lower()) + lowest if text.lower() in names else None
