"""Processes that need not import TFX anew: forks of an interpreter that has done nothing else.

Each is a process of its own all the same; it is spared the twenty seconds of the import.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from importlib import import_module
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Final

# What takes long to import, and is imported by most of what is run so.
_PRELOADED: Final = (
    "pipelines.kubeflow.entry_point",
    "pipelines.local_runner",
    "components.meter.executor",
    "components.promoter.executor",
    "tests.support.mlflow_loaded",
    "pipelines.training.run",
)


def warm_context() -> ForkServerContext:
    """Starts processes, as `multiprocessing` does, that have TFX and MLflow imported."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(_PRELOADED))
    return context


def start_warm(
    entry: str,
    arguments: Sequence[str],
    folder: Path,
    environment: Mapping[str, str],
    stdout: Path,
    stderr: Path,
) -> BaseProcess:
    """Start a program in a fork.

    Args:
      entry: a module, as `python -m` takes it; or a console script's ``module:function``.
      stdout, stderr: files, which may be one.
    """
    told = (entry, list(arguments), folder, dict(environment), stdout, stderr)
    process = warm_context().Process(target=_run, args=told, daemon=True)
    process.start()
    return process


def run_warm(
    entry: str,
    arguments: Sequence[str],
    folder: Path,
    environment: Mapping[str, str],
    stdout: Path,
    stderr: Path,
    timeout_s: float | None = None,
) -> int:
    """The same, waited for; returns its exit status."""
    process = start_warm(entry, arguments, folder, environment, stdout, stderr)
    process.join(timeout_s)
    if process.exitcode is None:
        process.kill()
        raise TimeoutError(f"{entry} was not done after {timeout_s} s: {stderr.read_text()}")
    return process.exitcode


def run_tallygraph(*arguments: str) -> subprocess.CompletedProcess[str]:
    """`tallygraph`, to its end, with TFX imported already."""
    with tempfile.TemporaryDirectory() as folder:
        stdout, stderr = Path(folder, "stdout"), Path(folder, "stderr")
        status = run_warm(
            "pipelines.cli:main",
            arguments,
            Path.cwd(),
            os.environ,
            stdout,
            stderr,
            timeout_s=900,
        )
        return subprocess.CompletedProcess(
            ["tallygraph", *arguments], status, stdout.read_text(), stderr.read_text()
        )


def _run(
    entry: str,
    arguments: list[str],
    folder: Path,
    environment: dict[str, str],
    stdout: Path,
    stderr: Path,
) -> None:
    for stream, file in ((1, stdout), (2, stderr)):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND), stream)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = [entry, *arguments]
    module, _, function = entry.partition(":")
    if function:
        sys.argv[0] = "tallygraph"
        getattr(import_module(module), function)()
    else:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
