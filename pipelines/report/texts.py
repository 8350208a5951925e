"""Numbers and texts as a reader sees them."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from typing import Final

_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
# Direction overrides would turn what follows a sample too, and a lone surrogate is no text.
_NOT_SHOWN: Final = re.compile(r"[\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def visible(text: str) -> str:
    """A text with its control characters shown, not obeyed: NUL as ␀."""
    shown = _CONTROL.sub(lambda found: chr(0x2400 + min(ord(found[0]), 0x21)), text)
    return _NOT_SHOWN.sub("\ufffd", shown)


def number(value: float, digits: int = 3, signed: bool = False) -> str:
    """A metric; a dash where it could not be computed."""
    if math.isnan(value):
        return "–"
    return f"{value:{'+' if signed else ''}.{digits}f}".replace("-", "−")


def percent(value: float) -> str:
    """A share, 0 to 1, as a percentage."""
    return "–" if math.isnan(value) else f"{100 * value:.1f} %"


def duration(seconds: float) -> str:
    """Such as "0.04 s", "12.3 s" or "3:05 min"."""
    if seconds < 60:
        return f"{seconds:.2f} s" if seconds < 1 else f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02d} min"
    return f"{whole // 3600}:{whole // 60 % 60:02d} h"


def moment(value: datetime | int | None) -> str:
    """A time, also one in milliseconds since 1970, to the second in local time."""
    if value is None:
        return "–"
    if isinstance(value, int):
        value = datetime.fromtimestamp(value / 1000, UTC)
    return value.astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")
