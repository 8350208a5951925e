"""Finds the line on which a value of a TOML file begins, for errors that name it.

tomllib says where a file is not TOML, and of what it has read no longer where it was. But it
reads a single statement as well as a file: so the file is cut into statements, each the fewest
lines that are TOML, and each says by itself which keys it sets.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from typing import Any, Final

Path = tuple[str | int, ...]
"""Keys, and positions in arrays from 0: ``("prices", 1, "plan")``."""

_HERE: Final = "\N{REPLACEMENT CHARACTER} here"


class Lines:
    """The lines of a document's values."""

    def __init__(self, text: str) -> None:
        """
        Args:
          text: valid TOML.
        """
        self._lines: dict[Path, int] = {(): 1}
        counts: dict[Path, int] = {}
        table: Path = ()
        for number, statement in _statements(text):
            if not statement.lstrip().startswith("["):
                self._add((*table, *_only_path(tomllib.loads(statement))), number)
                continue
            # A header's own table has no key; with one, it cannot be taken for what encloses
            # it.
            inside = _only_path(tomllib.loads(f'{statement}\n"{_HERE}" = 1'))[:-1]
            keys = [key for key in inside if isinstance(key, str)]
            table = ()
            for position, key in enumerate(keys, start=1):
                table = (*table, key)
                if position == len(keys) and statement.lstrip().startswith("[["):
                    counts[table] = counts.get(table, -1) + 1
                if table in counts:
                    table = (*table, counts[table])
            self._add(table, number)

    def __getitem__(self, path: Path) -> int:
        """The line of a value, from 1; where it has none of its own, of what it is in."""
        while path not in self._lines:
            path = path[:-1]
        return self._lines[path]

    def _add(self, path: Path, number: int) -> None:
        for length in range(1, len(path) + 1):
            self._lines.setdefault(path[:length], number)


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """Each statement and its first line; not what is empty or a comment."""
    first, so_far = 1, ""
    for number, line in enumerate(text.split("\n"), start=1):
        so_far += f"{line}\n"
        try:
            read = tomllib.loads(so_far)
        except tomllib.TOMLDecodeError:
            continue
        if read:
            yield first, so_far
        first, so_far = number + 1, ""


def _only_path(document: dict[str, Any]) -> Path:
    """The keys of a document that sets one."""
    path: Path = ()
    value: Any = document
    while isinstance(value, dict | list) and len(value) == 1:
        key = 0 if isinstance(value, list) else next(iter(value))
        path, value = (*path, key), value[key]
    return path
