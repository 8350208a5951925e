"""Folders that are made once in a process, and then copied: saving a model takes a second."""

from __future__ import annotations

import functools
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Concatenate, Final, ParamSpec

P = ParamSpec("P")

_FOLDERS: Final[list[str]] = []


def remove_made() -> None:
    """Remove what was made in this process. (pytest-xdist ends workers without `atexit`.)"""
    while _FOLDERS:
        shutil.rmtree(_FOLDERS.pop(), ignore_errors=True)


def made_once(
    make: Callable[Concatenate[Path, P], None],
) -> Callable[Concatenate[Path, P], None]:
    """For a function that makes a folder, always the same for the same hashable arguments."""
    made: dict[tuple[object, ...], Path] = {}

    @functools.wraps(make)
    def copy(path: Path, /, *arguments: P.args, **named: P.kwargs) -> None:
        key = (*arguments, *sorted(named.items()))
        if key not in made:
            folder = tempfile.mkdtemp(prefix="tallygraph-tests-")
            _FOLDERS.append(folder)
            make(Path(folder, "made"), *arguments, **named)
            made[key] = Path(folder, "made")
        shutil.copytree(made[key], path)

    return copy
