"""Debian's Prometheus, unpacked by `scripts/prometheus.sh`, for tests that take long."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path

import pytest

from scripts.manifests import ROOT

_BIN = ROOT / ".toolchain/prometheus/usr/bin"


@cache
def _why_not() -> str:
    """Why it cannot be had on this machine; empty where it is there."""
    script = ROOT / "scripts/prometheus.sh"
    made = subprocess.run([script], capture_output=True, text=True, check=False, cwd=ROOT)
    return "" if made.returncode == 0 else made.stderr


def program(name: str) -> Path:
    """``promtool``, ``prometheus``, ``prometheus-alertmanager`` or ``amtool``.

    Where it cannot be had, the test that asks for it is skipped, and says why.
    """
    if why := _why_not():
        pytest.skip(f"Prometheus cannot be had here: {why}")
    return _BIN / name


def run(name: str, *arguments: str | Path) -> str:
    """What a program prints, if all is well."""
    done = subprocess.run(
        [program(name), *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr
