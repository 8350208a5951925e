"""How a node's process is started: as its command says, or from one that is warm already."""

from __future__ import annotations

import multiprocessing
import os
import runpy
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

_ENTRY_POINT = ("python", "-m", "pipelines.kubeflow.entry_point")

# What takes long to import, and is imported by most nodes.
_PRELOADED = (
    _ENTRY_POINT[2],
    "components.meter.executor",
    "components.promoter.executor",
    "components.model_registry.mlflow_registry",
    "pipelines.training.run",
)

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

    A process of its own all the same; it is spared the ten seconds of the import.
    """
    assert tuple(command[:3]) == _ENTRY_POINT, command[:3]
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(_PRELOADED))
    process = context.Process(
        target=_run, args=(list(command[3:]), folder, environment, log), daemon=True
    )
    process.start()
    process.join()
    assert process.exitcode is not None
    return process.exitcode


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


def _run(arguments: list[str], folder: Path, environment: dict[str, str], log: Path) -> None:
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(descriptor, stream)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = [_ENTRY_POINT[2], *arguments]
    runpy.run_module(_ENTRY_POINT[2], run_name="__main__", alter_sys=True)
