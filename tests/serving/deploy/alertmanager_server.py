"""An Alertmanager that receives alerts, for tests that take long: Debian's, see
`prometheus_tools`."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from serving.engines.base import HeldPorts
from tests.serving.deploy.prometheus_server import running
from tests.serving.deploy.prometheus_tools import program

_DEADLINE_S: Final = 120
_CONFIG: Final = "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n"
# Debian's reads a template at a path of its own below /usr/share, whatever its config says: it
# sees the package's folder there. Nobody else does, and no privilege is needed where the system
# lets a user have namespaces.
_SEES_ITS_FILES: Final = (
    *("unshare", "--map-root-user", "--mount", "sh", "-c"),
    'mount --bind "$0" /usr/share && exec "$@"',
)


@dataclass(frozen=True)
class AlertmanagerServer:
    """A running one.

    Attributes:
      address: host and port.
    """

    address: str

    def active(self) -> list[dict[str, Any]]:
        """Alerts that it has been sent and that are not resolved."""
        answer = httpx.get(
            f"http://{self.address}/api/v2/alerts",
            params={"active": "true"},
            timeout=_DEADLINE_S,
            trust_env=False,
        )
        assert answer.status_code == 200, answer.text
        found: list[dict[str, Any]] = answer.json()
        return found


@cache
def _why_not(share: Path) -> str:
    """Why it cannot be run on this machine; empty where it can."""
    if shutil.which("unshare") is None:
        return "there is no unshare on PATH"
    command = [*_SEES_ITS_FILES, str(share), "true"]
    tried = subprocess.run(command, capture_output=True, text=True, check=False)
    return "" if tried.returncode == 0 else tried.stderr.strip()


@contextmanager
def alertmanager_server(folder: Path) -> Iterator[AlertmanagerServer]:
    """Start one, and stop it at the end.

    Where the system gives no mount namespace, the test is skipped, and says why.

    Args:
      folder: for its files; empty.
    """
    manager = program("prometheus-alertmanager")
    share = manager.parents[1] / "share"
    if why := _why_not(share):
        pytest.skip(
            f"Debian's Alertmanager needs a mount namespace, which it cannot have: {why}"
        )
    (folder / "alertmanager.yml").write_text(_CONFIG, encoding="utf-8")
    with closing(HeldPorts(1)) as held:
        address = f"127.0.0.1:{held.numbers[0]}"
        command: list[str | Path] = [
            *(*_SEES_ITS_FILES, share, manager),
            f"--config.file={folder / 'alertmanager.yml'}",
            f"--storage.path={folder / 'data'}",
            f"--web.listen-address={address}",
            "--cluster.listen-address=",
        ]
        with running(command, folder, f"http://{address}/-/ready"):
            yield AlertmanagerServer(address)
