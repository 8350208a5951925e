"""Calendar months, UTC, as the ledger names them: 2026-11."""

from __future__ import annotations

import datetime
import math
import re
from typing import Final

_MONTH: Final = re.compile(r"[0-9]{4}-(0[1-9]|1[0-2])")


def month_ends_in_s(moment: datetime.datetime) -> int:
    """Seconds until the next month begins, rounded up.

    Args:
      moment: UTC, without a zone.
    """
    _, end = month_bounds(f"{moment:%Y-%m}")
    return math.ceil((end - moment).total_seconds())


def month_bounds(month: str) -> tuple[datetime.datetime, datetime.datetime]:
    """The first moment of a month, and that of the next one; of the last month that a date can
    be in, the last moment.

    Raises:
      ValueError: it is not a month.
    """
    if not _MONTH.fullmatch(month) or month.startswith("0000"):
        raise ValueError(f"A month is expected in the form 2026-11. Received: {month[:100]!r}")
    start = datetime.datetime.strptime(month, "%Y-%m")
    try:
        end = (start + datetime.timedelta(days=31)).replace(day=1)
    except OverflowError:
        end = datetime.datetime.max
    return start, end
