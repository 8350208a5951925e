"""Two hosts on this machine, each with its own network, address and files.

A host is a network and a mount namespace in a user namespace, for which nobody needs to be
root. The hosts are connected by a pair of virtual network interfaces; each sees the shared
folder and a temporary folder of its own, and cannot write anywhere else.
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.support.waiting import wait_until

_NETWORK: Final = "10.77.0"
_NAMESPACES: Final = ("user", "net", "mnt")
# All that a user needs to give its processes; a machine or container may refuse it.
_PROBE: Final = ["unshare", "--user", "--map-root-user", "--net", "--mount", "ip", "link"]


def refusal() -> str:
    """Return why this machine gives no hosts; empty if it does."""
    for program in ("unshare", "nsenter", "mount", "ip", "ss"):
        if not shutil.which(program):
            return f"the program {program!r} is not installed (util-linux, iproute2)"
    tried = subprocess.run(_PROBE, capture_output=True, text=True)
    if tried.returncode:
        return f"the system refuses user namespaces with networks: {tried.stderr.strip()}"
    return ""


class Container:
    """A command on a host, in a process namespace: killing it kills all that it has started."""

    def __init__(self, command: Sequence[str], log: Path) -> None:
        self._log = log
        with log.open("wb") as stream:
            self._process = subprocess.Popen(command, stdout=stream, stderr=subprocess.STDOUT)

    @property
    def printed(self) -> str:
        return self._log.read_text(errors="replace")

    def status(self) -> int | None:
        """Exit status; None while it runs, negative if a signal ended it."""
        return self._process.poll()

    def kill(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()


@dataclass(frozen=True)
class Host:
    """One of the hosts.

    Attributes:
      pid: of the process that keeps its namespaces.
      private: its temporary folder, at the same path on each host.
    """

    pid: int
    private: Path

    def start(
        self, command: Sequence[str], environment: Mapping[str, str], log: Path
    ) -> Container:
        """Start a command as a container is started: all of its processes end with it."""
        variables = {"HOME": str(self.private), "TMPDIR": str(self.private), **environment}
        return Container(
            [
                *_inside(self.pid),
                *("unshare", "--pid", "--fork", "--kill-child"),
                # Not measured: what was reached could be written nowhere that outlives a host.
                *("env", "--unset=COVERAGE_PROCESS_CONFIG"),
                *(f"{name}={value}" for name, value in variables.items()),
                *command,
            ],
            log,
        )

    def shell(self, script: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*_inside(self.pid), "sh", "-euc", script], capture_output=True, text=True
        )


@contextlib.contextmanager
def two_hosts(root: Path, names: Sequence[str]) -> Iterator[tuple[Host, Host]]:
    """Yield two connected hosts.

    Args:
      root: a folder; the hosts share `shared` in it.
      names: under which each host finds the first and the second one.
    """
    shared, private, table = root / "shared", root / "private", root / "hosts"
    shared.mkdir()
    private.mkdir()
    table.write_text(
        "127.0.0.1 localhost\n"
        + "".join(f"{_NETWORK}.{i} {name}\n" for i, name in enumerate(names, start=1))
    )
    with contextlib.ExitStack() as stack:
        # The user namespace that both networks belong to.
        base = _kept(stack, ["unshare", "--user", "--map-root-user", "--net", "--mount"])
        hosts = tuple(
            Host(_kept(stack, [*_inside(base), "unshare", "--net", "--mount"]), private)
            for _ in names
        )
        first, second = hosts
        _run(
            [
                *_inside(base),
                *("ip", "link", "add", "eth0", "netns", str(first.pid)),
                *("type", "veth", "peer", "name", "eth0", "netns", str(second.pid)),
            ]
        )
        for i, host in enumerate(hosts, start=1):
            made = host.shell(
                f"ip address add {_NETWORK}.{i}/24 dev eth0\n"
                "ip link set lo up; ip link set eth0 up\n"
                f"mount --bind '{table}' /etc/hosts\n"
                f"mount --bind '{shared}' '{shared}'\n"
                f"mount -t tmpfs none '{private}'\n"
                + "".join(f"mount -o remount,bind,ro '{at}'\n" for at in _mounts_of(root))
            )
            assert made.returncode == 0, made.stderr
        yield first, second


def _mounts_of(folder: Path) -> list[Path]:
    """The file systems from which a folder and the root are."""
    at = folder.resolve()
    while not at.is_mount():
        at = at.parent
    return sorted({Path("/"), at})


def _inside(pid: int) -> list[str]:
    return ["nsenter", f"--target={pid}", "-U", "-n", "-m", "--preserve-credentials"]


def _kept(stack: contextlib.ExitStack, command: list[str]) -> int:
    """The process that keeps the namespaces that a command makes, until the stack is left."""
    process = subprocess.Popen([*command, "sleep", "infinity"])

    def stop() -> None:
        process.kill()
        process.wait()

    stack.callback(stop)
    wait_until(lambda: _sleeps(process.pid), "a host", process.poll)
    return process.pid


def _sleeps(pid: int) -> bool:
    """Whether the process has made its namespaces and become `sleep`."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip() == "sleep"
    except OSError:
        return False


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def is_apart(first: Host, second: Host) -> bool:
    """Whether two hosts have no namespace in common but that of their users."""

    def of(host: Host, name: str) -> str:
        return str(Path(f"/proc/{host.pid}/ns/{name}").readlink())

    return {name: of(first, name) == of(second, name) for name in _NAMESPACES} == {
        "user": True,
        "net": False,
        "mnt": False,
    }
