"""Apache Flink as processes of this machine, with Beam's job server for it.

A job manager and two task managers are Flink's own entry points. The job server is Beam's; it
turns a pipeline that it gets over Beam's Job API into a job of Flink. Each task manager starts
one Python worker for each job, `scripts/beam_worker.sh`.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import httpx

from serving.engines.base import HeldPorts
from tests.pipelines.beam_engine import listens
from tests.support.waiting import wait_until

ROOT: Final = Path(__file__).parents[3]
_MADE: Final = ROOT / ".toolchain/flink"
_WORKER: Final = ROOT / "scripts/beam_worker.sh"
_DEADLINE_S: Final = 60
# Flink 1.19's own list for Java 17 (`env.java.opts.all` of its configuration).
_OPENED: Final = (
    "java.base/java.net",
    "java.base/java.io",
    "java.base/java.lang",
    "java.base/java.lang.invoke",
    "java.base/java.lang.reflect",
    "java.base/java.nio",
    "java.base/java.text",
    "java.base/java.time",
    "java.base/java.util",
    "java.base/java.util.concurrent",
    "java.base/java.util.concurrent.atomic",
    "java.base/java.util.concurrent.locks",
    "java.base/sun.net.util",
)
# What Flink's start scripts work out of one size.
_MEMORY: Final = {
    "taskmanager.cpu.cores": "1.0",
    "taskmanager.memory.framework.heap.size": "128m",
    "taskmanager.memory.framework.off-heap.size": "128m",
    "taskmanager.memory.jvm-metaspace.size": "256m",
    "taskmanager.memory.jvm-overhead.min": "192m",
    "taskmanager.memory.jvm-overhead.max": "192m",
    "taskmanager.memory.task.heap.size": "512m",
    "taskmanager.memory.task.off-heap.size": "128m",
    "taskmanager.memory.network.min": "256m",
    "taskmanager.memory.network.max": "256m",
    "taskmanager.memory.managed.size": "256m",
}
_HEAP: Final = {
    "org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint": "512m",
    "org.apache.flink.runtime.taskexecutor.TaskManagerRunner": "640m",
    "org.apache.beam.runners.flink.FlinkJobServerDriver": "512m",
}


@dataclass(frozen=True)
class FlinkCluster:
    """A cluster that runs.

    Attributes:
      folder: of its configuration and logs, and of the files that jobs bring along.
      api: a client of Flink's REST API.
      job_endpoint: address of the job server, host and port.
      task_managers: the processes, by name.
    """

    folder: Path
    api: httpx.Client
    job_endpoint: str
    task_managers: dict[str, subprocess.Popen[bytes]]

    @property
    def options(self) -> list[str]:
        """Beam's options that have a job run here, on both task managers."""
        return [
            "--runner=PortableRunner",
            f"--job_endpoint={self.job_endpoint}",
            "--environment_type=PROCESS",
            f"--environment_config={json.dumps({'command': str(_WORKER)})}",
            # Between two stages of a job its workers would end, and start anew.
            "--environment_cache_millis=60000",
            "--parallelism=2",
        ]

    def jobs(self) -> list[dict[str, Any]]:
        """What Flink says of each job, first to last."""
        found: list[dict[str, Any]] = self._get("/jobs/overview")["jobs"]
        return sorted(found, key=lambda job: int(job["start-time"]))

    def job(self, job_id: str) -> dict[str, Any]:
        """One job, with its vertices and how often it has been in each state."""
        found: dict[str, Any] = self._get(f"/jobs/{job_id}")
        return found

    def used_by(self, job_id: str) -> set[str]:
        """The task managers on which a subtask of a job is running, by name."""
        return {
            subtask["taskmanager-id"]
            for vertex in self.job(job_id)["vertices"]
            for subtask in self._get(f"/jobs/{job_id}/vertices/{vertex['id']}")["subtasks"]
            if subtask["status"] == "RUNNING"
        }

    def registered(self) -> set[str]:
        """The task managers that the job manager has, by name."""
        return {each["id"] for each in self._get("/taskmanagers")["taskmanagers"]}

    def kill(self, name: str) -> None:
        """End a task manager with SIGKILL."""
        self.task_managers[name].kill()
        self.task_managers[name].wait(_DEADLINE_S)

    def _get(self, path: str) -> Any:
        answer = self.api.get(path)
        assert answer.status_code == 200, answer.text
        return answer.json()


@contextmanager
def flink_cluster(folder: Path) -> Iterator[FlinkCluster]:
    """Start a cluster, and stop it at the end. `scripts/flink.sh` has fetched it."""
    with ExitStack() as stack:
        rpc_port, rest_port, job_port = stack.enter_context(closing(HeldPorts(3))).numbers
        _configure(folder, rpc_port, rest_port)
        start = f"--configDir={folder}"
        manager = stack.enter_context(
            _java(
                folder,
                "job-manager",
                "org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint",
                start,
            )
        )
        api = stack.enter_context(
            httpx.Client(
                base_url=f"http://127.0.0.1:{rest_port}", timeout=_DEADLINE_S, trust_env=False
            )
        )
        wait_until(lambda: _answers(api), f"the job manager, see {folder}", manager.poll, 0.2)
        task_managers = {
            name: stack.enter_context(
                _java(
                    folder,
                    name,
                    "org.apache.flink.runtime.taskexecutor.TaskManagerRunner",
                    start,
                    f"-Dtaskmanager.resource-id={name}",
                    *(f"-D{key}={value}" for key, value in _MEMORY.items()),
                )
            )
            for name in ("task-manager-1", "task-manager-2")
        }
        server = stack.enter_context(
            _java(
                folder,
                "job-server",
                "org.apache.beam.runners.flink.FlinkJobServerDriver",
                f"--flink-master=127.0.0.1:{rest_port}",
                f"--flink-conf-dir={folder}",
                "--job-host=127.0.0.1",
                f"--job-port={job_port}",
                "--artifact-port=0",
                "--expansion-port=0",
                f"--artifacts-dir={folder / 'staged'}",
            )
        )
        cluster = FlinkCluster(folder, api, f"127.0.0.1:{job_port}", task_managers)
        for name, task_manager in task_managers.items():
            registered = partial(_registered, cluster, name)
            wait_until(registered, f"{name}, see {folder}", task_manager.poll, 0.2)
        wait_until(lambda: listens(job_port), f"the job server, see {folder}", server.poll, 0.2)
        yield cluster


def _configure(folder: Path, rpc_port: int, rest_port: int) -> None:
    settings = {
        "jobmanager.rpc.address": "127.0.0.1",
        "jobmanager.rpc.port": rpc_port,
        "jobmanager.bind-host": "127.0.0.1",
        "rest.address": "127.0.0.1",
        "rest.bind-address": "127.0.0.1",
        "rest.port": rest_port,
        "taskmanager.host": "127.0.0.1",
        "taskmanager.bind-host": "127.0.0.1",
        # Either of the two can take all of a job.
        "taskmanager.numberOfTaskSlots": 2,
        "cluster.evenly-spread-out-slots": "true",
        # A node has dozens of shuffles. By default each of them wants 512 buffers of 32 KB.
        "taskmanager.network.sort-shuffle.min-buffers": 64,
        # Beam's classes are the task managers' own. If they were each job's, workers would end
        # after each stage, whatever --environment_cache_millis says.
        "classloader.resolve-order": "parent-first",
        "restart-strategy.type": "fixed-delay",
        "restart-strategy.fixed-delay.attempts": 100,
        "restart-strategy.fixed-delay.delay": "1 s",
        "heartbeat.interval": 1000,
        "heartbeat.timeout": 10000,
        "io.tmp.dirs": folder / "temporary",
    }
    (folder / "temporary").mkdir()
    text = "".join(f"{key}: {value}\n" for key, value in settings.items())
    (folder / "flink-conf.yaml").write_text(text, encoding="utf-8")


def _java(folder: Path, name: str, main: str, *arguments: str) -> Any:
    home = os.environ.get("JAVA_HOME")
    command = [
        str(Path(home, "bin/java")) if home else "java",
        f"-Xmx{_HEAP[main]}",
        "-XX:MaxDirectMemorySize=768m",
        "-XX:+UseSerialGC",
        *(f"--add-opens={package}=ALL-UNNAMED" for package in _OPENED),
        "-cp",
        f"{_MADE}/*",
        main,
        *arguments,
    ]
    return _running(folder, name, command)


@contextmanager
def _running(
    folder: Path, name: str, command: Sequence[str]
) -> Iterator[subprocess.Popen[bytes]]:
    """A process, and at the end none of those that it has started; its log is in the folder."""
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(_DEADLINE_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _registered(cluster: FlinkCluster, name: str) -> bool:
    return name in cluster.registered()


def _answers(api: httpx.Client) -> bool:
    try:
        return api.get("/overview").status_code == 200
    except httpx.TransportError:
        return False
