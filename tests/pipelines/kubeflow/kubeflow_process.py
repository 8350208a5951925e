"""How a node's process is started: as its command says, or from one that is warm already."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.support.warm_process import run_warm

_ENTRY_POINT = ("python", "-m", "pipelines.kubeflow.entry_point")

# From command, folder, environment and log file to the exit status.
Start = Callable[[Sequence[str], Path, dict[str, str], Path], int]


def fresh(command: Sequence[str], folder: Path, environment: dict[str, str], log: Path) -> int:
    """The command as it is, in a new interpreter."""
    with log.open("wb") as stream:
        return subprocess.run(
            command, cwd=folder, env=environment, stdout=stream, stderr=subprocess.STDOUT
        ).returncode


def warm(command: Sequence[str], folder: Path, environment: dict[str, str], log: Path) -> int:
    """The same command in a fork of an interpreter that has imported TFX and done nothing.

    A process of its own all the same; it is spared the time of the import.
    """
    assert tuple(command[:3]) == _ENTRY_POINT, command[:3]
    return run_warm(_ENTRY_POINT[2], command[3:], folder, environment, log, log)


def fresh_for(*executors: str) -> Start:
    """Starts these as their command is, and the others warm.

    Every command is the same one; what a warm one could hide is a module that is missing where
    nothing else has imported it.

    Args:
      executors: ends of their classes' names.
    """

    def start(
        command: Sequence[str], folder: Path, environment: dict[str, str], log: Path
    ) -> int:
        executor = command[command.index("--executor_class_path") + 1]
        chosen = fresh if executor.endswith(executors) else warm
        return chosen(command, folder, environment, log)

    return start
