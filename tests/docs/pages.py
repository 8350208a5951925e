"""The commands of a page, and what it says that they print."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_FENCED: Final = re.compile(
    r"(?P<note><!-- not run: [^>]+ -->\n)?^```(?P<kind>\w+)(?: title=\"(?P<title>[^\"]+)\")?\n"
    r"(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
# What depends on the machine, the day and the model: numbers, and what a model wrote.
_NUMBER: Final = re.compile(r"\d+(?:[.,:]\d+)*")
_WRITTEN: Final = re.compile(r'("(?:summary|content|finish_reason)": ?)".*?(?<!\\)"')


@dataclass(frozen=True, slots=True)
class Commands:
    """Commands that are given together.

    Attributes:
      output: the lines that they print among others, in this order; none where the page shows
        nothing.
    """

    text: str
    output: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Page:
    """What a reader of a page does.

    Attributes:
      files: that the reader writes, by name.
      commands: that the reader gives, but for those marked as not run.
    """

    files: dict[str, str]
    commands: tuple[Commands, ...]

    @classmethod
    def read(cls, path: Path) -> Page:
        files: dict[str, str] = {}
        commands: list[Commands] = []
        left_out = False
        for block in _FENCED.finditer(path.read_text(encoding="utf-8")):
            if block["title"]:
                files[block["title"]] = block["text"]
            elif block["kind"] == "bash":
                left_out = block["note"] is not None
                if not left_out:
                    commands.append(Commands(block["text"], ()))
            elif block["kind"] == "text" and not left_out:
                lines = tuple(
                    line.strip() for line in block["text"].splitlines() if line.strip()
                )
                commands[-1] = Commands(commands[-1].text, commands[-1].output + lines)
        return cls(files, tuple(commands))


def missing_line(expected: tuple[str, ...], printed: str) -> str | None:
    """The first expected line that was not printed after the one before it; None for none.

    A line is part of a printed one. Numbers stand for any number, ``...`` for anything, and of
    a summary only that there is one counts. White space may differ: tables are as wide as what
    is in them.
    """
    remaining = map(_words, printed.splitlines())
    for line in expected:
        pattern = re.compile(_pattern(line))
        if not any(pattern.search(each) for each in remaining):
            return line
    return None


def _pattern(line: str) -> str:
    parts = _words(line).split("...")
    return ".*".join(_NUMBER.sub(r"\\d+(?:[.,:]\\d+)*", re.escape(part)) for part in parts)


def _words(line: str) -> str:
    return " ".join(_WRITTEN.sub(r'\1"..."', line).split())
