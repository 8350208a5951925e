"""Folders that are made once, because saving a model takes seconds.

In a process, to be copied; or for all processes of a run, to be read.
"""

from __future__ import annotations

import fcntl
import functools
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Concatenate, Final, ParamSpec

import pytest

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


def made_for_all(
    factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]
) -> Path:
    """A folder that whoever needs it first makes, and every worker of the run only reads."""
    run = factory.getbasetemp()
    if run.name == f"popen-{os.environ.get('PYTEST_XDIST_WORKER')}":  # a worker's own
        run = run.parent
    folder, whole = run / f"made-{name}", run / f"made-{name}.whole"
    with Path(run, f"made-{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not whole.exists():
            shutil.rmtree(folder, ignore_errors=True)  # of a worker that died over it
            make(folder)
            whole.touch()
    return folder
