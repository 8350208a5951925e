"""Parses a field of a cron expression."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_PART: Final = re.compile(r"(\*|\?|\w+(?:-\w+)?)(?:/(\d+))?")


class CronError(ValueError):
    """The text is not a cron expression of the expected kind."""


@dataclass(frozen=True)
class CronField:
    """One field.

    Attributes:
      name: used in error messages.
      lowest, highest: the values it may have.
      names: names of the values, starting with the lowest; empty if they have none.
      any_sign: the sign that stands for every value.
    """

    name: str
    lowest: int
    highest: int
    names: tuple[str, ...] = ()
    any_sign: str = "*"

    def values(self, text: str, cron: str) -> frozenset[int]:
        """Return the values that a text stands for.

        Args:
          text: numbers, names, ranges, steps of ranges, separated by commas.
          cron: the whole expression, for the error.

        Raises:
          CronError: it is none of these, or has a value outside the field's range.
        """
        values: set[int] = set()
        for part in text.split(","):
            found = self._values_of_part(part)
            if not found:
                raise CronError(
                    f"the schedule's {self.name} must be *, numbers from {self.lowest} to "
                    f"{self.highest}, ranges or steps of them. Received: {text!r} in {cron!r}"
                )
            values |= found
        return frozenset(values)

    def _values_of_part(self, part: str) -> set[int]:
        match = _PART.fullmatch(part)
        if match is None:
            return set()
        step = int(match[2] or 1)
        if match[1] in ("*", "?"):
            first, last = self.lowest, self.highest
            known = match[1] in self.any_sign
        else:
            ends = [self._value(end) for end in match[1].split("-")]
            # 5/10 is "from 5 on, every 10th".
            last_of_one = self.highest if match[2] and len(ends) == 1 else ends[0]
            first, last = ends[0], ends[1] if len(ends) == 2 else last_of_one
            known = self.lowest <= first <= last <= self.highest
        return set(range(first, last + 1, step)) if known and step else set()

    def _value(self, text: str) -> int:
        """The number a text stands for; below every field where it stands for none."""
        if text.isdecimal():
            return int(text)
        lower = text.lower()
        return self.names.index(lower) + self.lowest if lower in self.names else -1


MINUTES: Final = CronField("minutes", 0, 59)
HOURS: Final = CronField("hours", 0, 23)
DAYS: Final = CronField("day of the month", 1, 31)
MONTHS: Final = CronField(
    "month",
    1,
    12,
    ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"),
)
WEEKDAY_NAMES: Final = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
