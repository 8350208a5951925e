"""A clone to follow a tutorial in: the repository's own files, at a tiny size, on free ports.

The commands are run as they stand on the page. What makes them small and keeps them apart from
other servers on the machine is `.venv/bin/tallygraph`, which here adds options.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.docs.pages import Page, missing_line

ROOT: Final = Path(__file__).parents[2]
# Ports that a page names, which other programs may have.
PORTS: Final = (8080, 8500, 8501, 8600, 8601)
_MADE_BY_MAKE: Final = {"make demo": "bash scripts/demo.sh", "make setup": ":"}
_MARK: Final = "==== end of block"
_COMMAND: Final = """\
#!{python}
import json, sys
from pathlib import Path

if __name__ == "__main__":  # processes that it starts read this file too
    words = sys.argv[1:]
    for name, value in json.loads(Path({options!r}).read_text()).get(words[0], []):
        if name == "--set" or name not in words:
            words += [name, value]
    sys.argv = ["tallygraph", *words]
    from pipelines.cli import main

    main()
"""


def tiny_settings(*left_out: str) -> list[str]:
    """The settings of ``configs/tiny.toml`` that make a run small, as ``section.key=value``.

    Args:
      left_out: sections that a tutorial's settings must decide.
    """
    tiny = tomllib.loads((ROOT / "configs/tiny.toml").read_text())
    # The texts are real ones, so the vocabulary is the page's.
    settings = [
        f"{section}.{key}={json.dumps(value)}"
        for section, values in tiny.items()
        if section not in ("pipeline", "tokenizer", *left_out)
        for key, value in values.items()
    ]
    return [*settings, "training.lead_steps=40", "evaluation.max_examples=100"]


@dataclass(frozen=True)
class Clone:
    """A folder with what a reader has after ``git clone`` and ``make setup``."""

    folder: Path
    ports: dict[int, int]

    @classmethod
    def make(
        cls, folder: Path, settings: list[str], servers: Mapping[int, int] | None = None
    ) -> Clone:
        """
        Args:
          settings: that each `tallygraph run` is given besides.
          servers: ports of servers that are there already, by the port that the page names.
        """
        clone = cls(folder, {**_free_ports(), **(servers or {})})
        for name in ("examples", "kfp", "pyproject.toml"):
            (folder / name).symlink_to(ROOT / name)
        (folder / "scripts").mkdir()
        shutil.copy(ROOT / "scripts/demo.sh", folder / "scripts")
        _program(folder / "scripts/setup.sh", "#!/bin/sh\n# What it makes is here.\n")
        shutil.copytree(ROOT / "configs", folder / "configs")
        bin_dir = folder / ".venv/bin"
        bin_dir.mkdir(parents=True)
        # A link would be an interpreter without its environment.
        _program(bin_dir / "python", f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
        options = folder / ".venv/options.json"
        options.write_text(json.dumps(clone._options(settings)))
        command = _COMMAND.format(python=sys.executable, options=str(options))
        _program(bin_dir / "tallygraph", command)
        return clone

    def follow(self, page: Page, timeout_s: int = 1500) -> None:
        """Give all commands of a page in one shell, and hold what they print to the page."""
        for name, text in page.files.items():
            (self.folder / name).write_text(text)
        script = ["set -euo pipefail"]
        for commands in page.commands:
            script += [self._here(commands.text), f"echo '{_MARK}'"]
        printed = self._run("\n".join(script), timeout_s)
        blocks = printed.split(_MARK)
        for commands, output in zip(page.commands, blocks, strict=False):
            line = missing_line(commands.output, output)
            assert line is None, f"not printed: {line!r}\nby: {commands.text}\nbut: {output}"

    def _run(self, script: str, timeout_s: int) -> str:
        log = self.folder / "printed.log"
        with log.open("wb") as file:
            shell = subprocess.Popen(
                ["bash", "-c", script],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**os.environ, "COLUMNS": "200"},
            )
        try:
            status = shell.wait(timeout_s)
        finally:
            # Servers that the page started and, where it broke off, did not stop.
            _stop_group(shell.pid)
        printed = log.read_text(errors="replace")
        assert status == 0, f"exit status {status}:\n{printed}"
        return printed

    def _here(self, commands: str) -> str:
        """The commands with the ports of this clone, and without what `make` sets up."""
        for port, free in self.ports.items():
            commands = commands.replace(f":{port}", f":{free}")
        for target, does in _MADE_BY_MAKE.items():
            commands = commands.replace(target, does)
        return commands

    def _options(self, settings: list[str]) -> dict[str, list[tuple[str, str]]]:
        rest, grpc = str(self.ports[8501]), str(self.ports[8500])
        url = ("--url", f"http://127.0.0.1:{rest}")
        return {
            "run": [("--set", setting) for setting in settings],
            "serve": [("--engine", "local"), ("--rest-port", rest), ("--grpc-port", grpc)],
            "summarize": [url],
            "count": [url],
            "samples": [url],
            "gateway": [
                ("--port", str(self.ports[8600])),
                ("--admin-port", str(self.ports[8601])),
                ("--model-url", f"http://127.0.0.1:{rest}"),
            ],
        }


def _program(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


def _free_ports() -> dict[int, int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in PORTS]
    free = {port: each.getsockname()[1] for port, each in zip(PORTS, sockets, strict=True)}
    for each in sockets:
        each.close()
    return free


def _stop_group(group: int) -> None:
    with contextlib.suppress(ProcessLookupError):  # all of it has ended
        os.killpg(group, signal.SIGKILL)
