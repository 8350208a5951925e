"""The links of a Markdown text."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

_FENCE: Final = re.compile(r"^ {0,3}(`{3,}|~{3,})")
_CODE: Final = re.compile(r"`+[^`]*`+")
# An inline link or image; its text may be broken over lines, before and after the target too.
_LINK: Final = re.compile(r"(?<=\])\(\s*([^()\s]+)\s*\)")


@dataclass(frozen=True, slots=True)
class Link:
    """Where a link leads.

    Attributes:
      path: without the anchor; empty for one within the page.
      anchor: with its ``#``, or empty.
    """

    path: str
    anchor: str

    @property
    def target(self) -> str:
        return self.path + self.anchor


def replace_links(markdown: str, change: Callable[[Link], str]) -> str:
    """The text with the target of each link changed; code is left alone."""
    parts = []
    for text, is_code in _split(markdown):
        parts.append(text if is_code else _LINK.sub(lambda found: _one(found, change), text))
    return "".join(parts)


def _one(found: re.Match[str], change: Callable[[Link], str]) -> str:
    path, hash_, anchor = found[1].partition("#")
    return f"({change(Link(path, hash_ + anchor))})"


def _split(markdown: str) -> list[tuple[str, bool]]:
    """The text in parts, each with whether it is code."""
    parts: list[tuple[str, bool]] = []
    prose: list[str] = []
    fence = ""
    for line in markdown.splitlines(keepends=True):
        opened = _FENCE.match(line)
        if fence:
            parts.append((line, True))
            if opened and opened[1].startswith(fence) and not line.strip(" `~\n"):
                fence = ""
        elif opened:
            parts += _inline("".join(prose))
            prose = []
            fence = opened[1]
            parts.append((line, True))
        else:
            prose.append(line)
    return parts + _inline("".join(prose))


def _inline(text: str) -> list[tuple[str, bool]]:
    """Prose split at its code spans."""
    parts, end = [], 0
    for found in _CODE.finditer(text):
        # A link whose text is code has its target after the code, so spans may be cut out.
        parts += [(text[end : found.start()], False), (found[0], True)]
        end = found.end()
    return [*parts, (text[end:], False)]
