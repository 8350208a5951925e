"""The programs that scripts/control_plane.sh builds, as processes."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Final

import pytest

from scripts.manifests import ROOT

MADE: Final = ROOT / ".toolchain/control-plane"


def need(part: str) -> None:
    """Build a part where it has not been; where it cannot be, skip the test, and say why."""
    if why := _why_not(part):
        pytest.skip(f"The {part} cannot be had here: {why}")


@cache
def _why_not(part: str) -> str:
    script = ROOT / "scripts/control_plane.sh"
    built = subprocess.run(
        [script, part], capture_output=True, text=True, check=False, cwd=ROOT
    )
    return "" if built.returncode == 0 else built.stderr


@contextmanager
def running(
    folder: Path, name: str, *arguments: str, environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """One of them, until the context is left; its log is in the folder."""
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            [MADE / name, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, **(environment or {})},
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
