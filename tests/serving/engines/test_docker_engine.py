"""The Docker engine: what it asks of ``docker``, and what it says when that fails.

No machine that runs these tests need have a Docker engine. A program named ``docker`` that
knows the few commands used here, and runs Tallygraph's own server in the place of a
container, stands in for it: same paths inside as outside, one port as the other. It shows the
command lines, the waiting and the stopping. It does not show that the image starts with them.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import httpx
import pytest

from serving.engines import EngineError, ServerFiles, ServerSpec, choose_engine, docker_command
from serving.engines.docker import DockerEngine

_STAND_IN = '''#!{python}
"""docker version | image inspect IMAGE | rm --force NAME | run ... IMAGE ARGUMENTS"""
import os, sys
arguments = sys.argv[1:]
with open({calls!r}, "a") as calls:
    print(*arguments, file=calls)
if arguments[0] == "run":
    image = arguments.index({image!r})
    options, flags = arguments[1:image], arguments[image + 1:]
    assert options[options.index("--entrypoint") + 1] == "tensorflow_model_server"
    mounted = [options[i + 1].split(":")[0] for i, o in enumerate(options) if o == "-v"]
    for flag in flags:
        path = flag.partition("=")[2]
        if path.startswith("/"):
            assert any(path.startswith(m) for m in mounted), (path, mounted)
    os.execv(sys.executable, [sys.executable, "-m", "serving.model_server.main", *flags])
if arguments[:2] == ["image", "inspect"] and arguments[2] != {image!r}:
    sys.exit("Error response from daemon: no such image")
'''
IMAGE = "registry.example/serving:1"


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the stand-in has been called with, a line each."""
    calls = tmp_path / "calls"
    program = tmp_path / "bin" / "docker"
    program.parent.mkdir()
    program.write_text(_STAND_IN.format(python=sys.executable, calls=str(calls), image=IMAGE))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    return calls


def test_a_container_is_started_awaited_asked_and_stopped(
    calls: Path, metered_base: Path, tmp_path: Path
) -> None:
    files = ServerFiles.write(tmp_path / "config" / "models.config", "summarizer", metered_base)
    log = tmp_path / "server.log"
    spec = files.spec(("summarizer",), log_file=log)
    engine = choose_engine("docker", image=IMAGE)
    assert engine.description == f"TensorFlow Serving, Docker image {IMAGE}"
    with engine.start(spec) as server:
        server.wait_until_available(120)
        page = httpx.get(
            f"{server.rest_url}/monitoring/prometheus/metrics", trust_env=False, timeout=120
        )
        assert ":tensorflow:cc:saved_model:load_attempt_count" in page.text
        name = f"tallygraph-{server.spec.grpc_port}"
    assert server.exit_status() == 0
    assert "Draining" in log.read_text()
    version, run, removed = calls.read_text().splitlines()
    assert version == "version"
    assert removed == f"rm --force {name}"
    ports = [server.spec.grpc_port, server.spec.rest_port]
    config = tmp_path / "config"
    mounts = sorted([str(config), str(metered_base)])
    assert run.split() == [
        *f"run --rm --name {name} --init".split(),
        *(word for port in ports for word in ("-p", f"127.0.0.1:{port}:{port}")),
        *(word for path in mounts for word in ("-v", f"{path}:{path}:ro")),
        *f"--entrypoint tensorflow_model_server {IMAGE}".split(),
        f"--port={ports[0]}",
        f"--rest_api_port={ports[1]}",
        f"--model_config_file={config}/models.config",
        f"--monitoring_config_file={config}/monitoring.config",
        "--allow_version_labels_for_unavailable_models=true",
        "--max_num_load_retries=2",
        "--load_retry_interval_micros=2000000",
        "--grpc_max_threads=64",
    ]


def test_auto_takes_an_image_that_is_here_already(
    calls: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Without a tensorflow_model_server that this machine may have.
    monkeypatch.setenv("PATH", str(calls.parent / "bin"))
    assert choose_engine("auto", image=IMAGE).name == "docker"
    assert choose_engine("auto", image="tensorflow/serving").name == "local"


def test_a_path_inside_another_is_not_mounted_twice(tmp_path: Path) -> None:
    spec = ServerSpec(("m",), grpc_port=1, rest_port=2, paths=(tmp_path / "a", tmp_path))
    command = docker_command(spec)
    assert [word for word in command if word.endswith(":ro")] == [f"{tmp_path}:{tmp_path}:ro"]


def test_no_docker_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EngineError, match=r"not found on PATH\. Install Docker"):
        DockerEngine()


def test_docker_without_its_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "docker"
    program.write_text('#!/bin/sh\necho "Client: 28"\necho "no daemon here" >&2\nexit 1\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(EngineError, match=r"no daemon here\. Start the Docker engine"):
        choose_engine("docker")
