"""`tallygraph gateway` as a child process: started, awaited, ended; reasons when it fails."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from pipelines.gateway_process import ALIVE, GatewayProcess, GatewayProcessError
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[2]
PRICES = ROOT / "examples" / "prices.toml"


def gateway(folder: Path, prices: Path = PRICES, *options: str) -> GatewayProcess:
    """One whose model server is not there."""
    return GatewayProcess(
        prices,
        folder,
        ["http://127.0.0.1:1"],
        folder / "gateway.log",
        *options,
        database=f"sqlite:///{folder}/ledger.sqlite",
    )


def test_it_is_awaited_killed_started_again_and_stopped(tmp_path: Path) -> None:
    process = gateway(tmp_path)
    assert process.exit_status() is None
    process.stop()  # harmless: it does not run
    with process:
        process.wait_until(ALIVE)
        first = process.pid
        process.kill()
        assert process.exit_status() == -signal.SIGKILL
        process.start()
        process.wait_until(ALIVE)
        assert process.pid != first
        assert httpx.get(f"{process.url}{ALIVE}", trust_env=False, timeout=120).is_success
    assert process.exit_status() in (0, -signal.SIGTERM)


def test_one_that_ends_by_itself_says_why(tmp_path: Path) -> None:
    (tmp_path / "prices.toml").write_text("currency = 1")
    with (
        gateway(tmp_path, tmp_path / "prices.toml") as process,
        pytest.raises(GatewayProcessError) as ended,
    ):
        process.wait_until()
    message = str(ended.value)
    assert message.startswith("The gateway ended with status 2 before it was ready. Its log")
    assert "of ISO 4217 that can be paid in" in message


def test_one_that_is_not_ready_in_time_says_so(tmp_path: Path) -> None:
    with gateway(tmp_path) as process:
        process.wait_until(ALIVE)
        with pytest.raises(GatewayProcessError, match=r"was not ready after 0\.1 s: .* 503"):
            process.wait_until(timeout_s=0.1)


def test_it_does_not_outlive_its_starter(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path\n"
        "from pipelines.gateway_process import GatewayProcess\n"
        "folder = Path(sys.argv[1])\n"
        "process = GatewayProcess(Path(sys.argv[2]), folder, ['http://127.0.0.1:9'],\n"
        "    folder / 'log', database=f'sqlite:///{folder}/ledger.sqlite')\n"
        "process.start()\n"
        "print(process.pid, flush=True); time.sleep(600)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path), str(PRICES)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    ) as starter:
        assert starter.stdout is not None
        pid = int(starter.stdout.readline())
        starter.kill()
    wait_until(lambda: not running(pid), "the gateway's end")


def running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # Nobody may have asked what became of it.
    state = Path(f"/proc/{pid}/stat")
    return not state.exists() or state.read_text().rpartition(")")[2].split()[0] != "Z"
