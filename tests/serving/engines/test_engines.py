"""Engines start servers, say which one, and give reasons when they cannot.

No machine that runs these tests has a real ``tensorflow_model_server``. A program of that
name which runs Tallygraph's own server stands in for it: that shows how the engine finds a
binary, which flags it passes, how it waits, stops and reports. It does not show that a real
TensorFlow Serving starts with those flags; they are its documented ones.
"""

from __future__ import annotations

import os
import shlex
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from serving.engines import EngineError, ServerSpec, choose_engine
from serving.engines.base import HeldPorts, free_ports
from serving.engines.binary import BinaryEngine
from tests.support.waiting import wait_until

PROGRAM = "tensorflow_model_server"


def program(folder: Path, script: str) -> Path:
    path = folder / PROGRAM
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder at the front of PATH."""
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    return tmp_path


def test_auto_takes_the_local_server_where_there_is_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    engine = choose_engine("auto")
    assert (engine.name, engine.description) == ("local", "Tallygraph's local model server")


def test_auto_takes_a_binary_on_path_and_says_so(on_path: Path) -> None:
    path = program(on_path, "exit 0")
    engine = choose_engine("auto")
    assert (engine.name, engine.description) == ("binary", f"TensorFlow Serving, {path}")


def test_a_setting_comes_before_path(on_path: Path, tmp_path: Path) -> None:
    program(on_path, "exit 0")
    (tmp_path / "other").mkdir()
    other = program(tmp_path / "other", "exit 0")
    assert choose_engine("auto", other).description.endswith(f"other/{PROGRAM}")
    with pytest.raises(EngineError, match=r"nothing was not found\. Install"):
        choose_engine("auto", tmp_path / "nothing")


def test_names_that_do_not_exist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(EngineError, match="Unknown engine"):
        choose_engine("podman")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EngineError, match="tensorflow_model_server was not found on PATH"):
        choose_engine("binary")


def test_a_binary_is_started_awaited_asked_and_stopped(
    on_path: Path, metered_base: Path, tmp_path: Path
) -> None:
    arguments = tmp_path / "arguments"
    command = f"exec {shlex.quote(sys.executable)} -m serving.model_server.main"
    program(on_path, f'echo "$@" > {arguments}\n{command} "$@"')
    log = tmp_path / "server.log"
    flags = {"max_num_load_retries": "0"}
    spec = ServerSpec.single("summarizer", metered_base, flags, log_file=log)
    with choose_engine("auto").start(spec) as server:
        server.wait_until_available(120)
        assert server.engine == "binary"
        answer = httpx.get(
            f"{server.rest_url}/v1/models/summarizer", trust_env=False, timeout=120
        )
        assert answer.json()["model_version_status"][0]["state"] == "AVAILABLE"
        assert server.exit_status() is None
        assert "Running gRPC ModelServer at " in server.logs()
        assert len(server.logs(last_lines=2).splitlines()) == 2
    assert server.exit_status() == 0
    server.stop()  # harmless
    assert "Draining" in log.read_text()
    grpc_port, rest_port = server.grpc_address[10:], server.rest_url[17:]
    assert arguments.read_text().split() == [
        f"--port={grpc_port}",
        f"--rest_api_port={rest_port}",
        "--model_name=summarizer",
        f"--model_base_path={metered_base}",
        "--max_num_load_retries=0",
    ]


def test_a_binary_that_dies_at_once(tmp_path: Path) -> None:
    script = 'for i in $(seq 60); do echo "line $i"; done; echo "wrong libc" >&2; exit 127'
    engine = BinaryEngine(program(tmp_path, script))
    with (
        engine.start(ServerSpec.single("m", tmp_path)) as server,
        pytest.raises(EngineError) as failed,
    ):
        server.wait_until_available(30)
    message = str(failed.value)
    assert message.startswith(
        "The binary model server ended with status 127 before it was ready. Its log ends:\n"
    )
    assert message.endswith("line 60\nwrong libc")
    assert "line 20" not in message


def test_a_binary_that_is_never_ready_is_killed(tmp_path: Path) -> None:
    engine = BinaryEngine(
        program(tmp_path, "trap '' TERM; echo loading; while :; do sleep 0.1; done")
    )
    server = engine.start(ServerSpec.single("m", tmp_path))
    wait_until(lambda: "loading" in server.logs(), "the program's start", server.exit_status)
    with pytest.raises(EngineError, match=r"was not ready after 0\.2 s: ConnectError"):
        server.wait_until_available(0.2)
    server.stop(timeout_s=0.2)
    assert server.exit_status() == -signal.SIGKILL


def test_a_binary_that_cannot_be_run(tmp_path: Path) -> None:
    path = tmp_path / PROGRAM
    path.write_bytes(b"\x7fELF not really")
    path.chmod(0o755)
    with pytest.raises(EngineError, match="Cannot run"):
        BinaryEngine(path).start(ServerSpec.single("m", tmp_path))


def test_a_local_server_does_not_outlive_its_starter(tmp_path: Path) -> None:
    # The base path is empty: the server waits for a version, for as long as it may.
    code = (
        "import sys, time; from pathlib import Path;"
        "from serving.engines import ServerSpec, choose_engine;"
        "server = choose_engine('local').start("
        f"ServerSpec.single('m', Path({str(tmp_path)!r})));"
        "print(server.process.pid, flush=True); time.sleep(600)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True
    ) as starter:
        assert starter.stdout is not None
        pid = int(starter.stdout.readline())
        starter.kill()
    wait_until(lambda: not Path(f"/proc/{pid}").exists(), "the server's end")


def test_held_ports_are_nobody_elses_and_a_server_can_listen_there() -> None:
    ports = HeldPorts(20)
    assert len({*ports.numbers, *free_ports(20)}) == 40
    (number, *_) = ports.numbers
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", number))
    with socket.create_server(("127.0.0.1", number)):  # which sets SO_REUSEADDR
        socket.create_connection(("127.0.0.1", number)).close()
    ports.close()
    ports.close()  # harmless


def test_free_ports_are_different() -> None:
    ports = free_ports(20)
    assert len(set(ports)) == 20


def test_a_port_on_which_another_server_listens_is_refused(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        spec = ServerSpec.single("summarizer", tmp_path, rest_port=port)
        with pytest.raises(EngineError, match=f"Another server is listening on port {port}"):
            choose_engine("local").start(spec)
