"""A checkout to set up: the scripts, and a project of no packages in place of this one."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
# The interpreter that .venv was made from.
PYTHON = Path(sys._base_executable)  # type: ignore[attr-defined]

PROJECT = """\
[project]
name = "small"
version = "1"
requires-python = ">=3.11,<3.13"
"""
LOCK = """\
version = 1
revision = 3
requires-python = ">=3.11, <3.13"

[[package]]
name = "small"
version = "1"
source = { virtual = "." }
"""


class Checkout:
    """A folder with the scripts, and a home of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "checkout"
        self.home = folder / "home"
        self.home.mkdir(parents=True)
        self.folder.mkdir()
        # Not what Python has compiled of them, which depends on the tests that came before.
        sources = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / "scripts", self.folder / "scripts", ignore=sources)
        (self.folder / "pyproject.toml").write_text(PROJECT, encoding="utf-8")
        (self.folder / "uv.lock").write_text(LOCK, encoding="utf-8")
        # What else would be fetched.
        self.toolchain = self.folder / ".toolchain"
        self.toolchain.mkdir()
        for name in ("tools", "glibc"):
            if (ROOT / ".toolchain" / name).exists():
                (self.toolchain / name).symlink_to(ROOT / ".toolchain" / name)

    def start(
        self, *arguments: str, path: str | None = None, **variables: str
    ) -> subprocess.Popen[str]:
        """Start it in a process group of its own, with no network but what `variables` name."""
        environment = {
            "HOME": str(self.home),
            "PATH": path or f"{PYTHON.parent}:/usr/bin:/bin",
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_RETRIES": "1",  # with none, pip does not say why
            "UV_OFFLINE": "1",
            **variables,
        }
        return subprocess.Popen(
            arguments or ("scripts/setup.sh",),
            cwd=self.folder,
            env={name: value for name, value in environment.items() if value},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def set_up(
        self, *arguments: str, path: str | None = None, **variables: str
    ) -> tuple[int, str]:
        """Its exit code, and what it said."""
        process = self.start(*arguments, path=path, **variables)
        try:
            said, _ = process.communicate(timeout=120)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise
        return process.returncode, said.replace("\033[1m", "").replace("\033[0m", "")


def write_command(path: Path, script: str) -> None:
    path.unlink(missing_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    path.chmod(0o755)


def give_python(folder: Path, name: str) -> None:
    """Put this Python into a folder.

    As a script, no link: an unpacked one finds its library by its own path.
    """
    write_command(folder / name, f'exec {PYTHON} "$@"')


def python_that_claims(claim: str) -> str:
    """This Python as a script, with a statement before all that it is given by -c."""
    return f"""
if [ "$1" = -c ]; then shift; code=$1; shift; set -- -c "import sys; {claim}
$code" "$@"; fi
exec {PYTHON} "$@"
"""


def python_of_version(version: str) -> str:
    major, minor = version.split(".")
    return python_that_claims(f"sys.version_info = ({major}, {minor}, 0, 'final', 0)")


def commands_without_python(folder: Path, without: tuple[str, ...] = ()) -> Path:
    """A folder for PATH: the system's commands but for Python's, and some others.

    Debian's installer is left out too: where it is found, it would fetch.
    """
    without = ("apt-get", *without)
    folder.mkdir()
    for command in (*Path("/bin").iterdir(), *Path("/usr/bin").iterdir()):
        hidden = command.name.startswith(("python", "pypy", "uv")) or command.name in without
        if not hidden and not (folder / command.name).is_symlink():
            (folder / command.name).symlink_to(command)
    return folder


# What pyenv leaves on PATH for a version that is not active.
BROKEN = "echo 'pyenv: command not found' >&2; exit 127"
