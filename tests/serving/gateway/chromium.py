"""A real browser for tests that take long: the system's Chromium, or Debian's, unpacked."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import pytest

from scripts.manifests import ROOT

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

_UNPACKED = ROOT / ".toolchain/chromium"
_FONTS = {
    "sans-serif": "DejaVu Sans",
    "monospace": "DejaVu Sans Mono",
}
_SERIOUS = ("serious", "critical")


@cache
def _why_not() -> str:
    """Why it cannot be had on this machine; empty where it is there."""
    if shutil.which("chromium"):
        return ""
    script = ROOT / "scripts/chromium.sh"
    made = subprocess.run([script], capture_output=True, text=True, check=False, cwd=ROOT)
    return "" if made.returncode == 0 else made.stderr


@contextmanager
def browser() -> Iterator[Browser]:
    """Headless Chromium.

    Where it cannot be had, the test that asks for it is skipped, and says why.
    """
    if why := _why_not():
        pytest.skip(f"Chromium cannot be had here: {why}")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(**_program(), args=["--no-sandbox"])
        try:
            yield running
        finally:
            running.close()


def serious_findings(page: Page) -> list[str]:
    """What axe-core finds on a page that keeps people from using it."""
    page.evaluate((files("axe_playwright_python") / "axe.min.js").read_text("utf-8"))
    found = page.evaluate("axe.run()")
    assert found["passes"], "axe-core has looked at nothing"
    return [
        f"{each['id']}: {each['help']} {node['html'][:200]}"
        for each in found["violations"]
        if each["impact"] in _SERIOUS
        for node in each["nodes"]
    ]


def _program() -> dict[str, Any]:
    """Where it is, and what it needs to find its own libraries, fonts and settings."""
    if found := shutil.which("chromium"):
        return {"executable_path": found}
    libraries = [
        _UNPACKED / part for part in ("usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu")
    ]
    libraries += sorted((_UNPACKED / "usr/lib/x86_64-linux-gnu").glob("pulseaudio"))
    fonts = _UNPACKED / "fonts.conf"
    aliases = "".join(
        f"<alias binding='same'><family>{name}</family><prefer><family>{font}</family></prefer>"
        "</alias>"
        for name, font in _FONTS.items()
    )
    fonts.write_text(
        f"<fontconfig><dir>{_UNPACKED}/usr/share/fonts</dir>{aliases}"
        f"<cachedir>{_UNPACKED}/font-cache</cachedir></fontconfig>"
    )
    return {
        "executable_path": _UNPACKED / "usr/lib/chromium/chromium",
        "env": {
            "PATH": os.environ.get("PATH", ""),
            "HOME": os.environ.get("HOME", "/"),
            "LD_LIBRARY_PATH": ":".join(map(str, libraries)),
            "FONTCONFIG_FILE": str(fonts),
        },
    }
