"""Keeps secrets out of what is stored and printed of settings."""

from __future__ import annotations

import re
from typing import Final

MASK: Final = "***"
_URL_USER: Final = re.compile(r"(?<=://)[^/@\s\"']+(?=@)")
_URL_QUERY: Final = re.compile(r"(://[^?\s\"']*\?)[^\s\"']+")


def masked(text: str) -> str:
    """Replace user, password and query of every URL in a text."""
    return _URL_QUERY.sub(rf"\g<1>{MASK}", _URL_USER.sub(MASK, text))


def option_names(options: tuple[str, ...]) -> tuple[str, ...]:
    """Return command line options without their values, any of which may be a secret."""
    return tuple(
        f"{name}={MASK}" if equals else name if name.startswith("-") else MASK
        for name, equals, _ in (option.partition("=") for option in options)
    )
