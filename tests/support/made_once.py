"""Folders that are made once in a process, and then copied: saving a model takes a second."""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Concatenate, ParamSpec

P = ParamSpec("P")


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
            atexit.register(shutil.rmtree, folder, ignore_errors=True)
            make(Path(folder, "made"), *arguments, **named)
            made[key] = Path(folder, "made")
        shutil.copytree(made[key], path)

    return copy
