"""A Beam engine as Flink's and Spark's are seen from a pipeline: a job server and its workers.

Both are processes of their own and Beam's own programs: the job server takes jobs over Beam's
Job API, the worker pool starts a fresh Python for each of them. Nothing of it needs Java.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import grpc
from apache_beam.portability.api import beam_job_api_pb2, beam_job_api_pb2_grpc

from serving.engines.base import free_ports
from tests.support.waiting import wait_until

_DEADLINE_S = 60


@dataclass(frozen=True)
class BeamEngine:
    """An engine that runs.

    Attributes:
      job_endpoint, worker_pool: addresses, host and port.
      processes: of the job server and of the pool, each with its own process group.
    """

    job_endpoint: str
    worker_pool: str
    processes: tuple[subprocess.Popen[bytes], ...]

    @property
    def options(self) -> list[str]:
        """Beam's options that have a job run here."""
        return [
            "--runner=PortableRunner",
            f"--job_endpoint={self.job_endpoint}",
            "--environment_type=EXTERNAL",
            f"--environment_config={self.worker_pool}",
        ]

    def job_states(self) -> list[str]:
        """The state of each job that was handed in, as the server names it."""
        with grpc.insecure_channel(self.job_endpoint) as channel:
            stub = beam_job_api_pb2_grpc.JobServiceStub(channel)
            jobs = stub.GetJobs(beam_job_api_pb2.GetJobsRequest(), timeout=_DEADLINE_S)
        return [beam_job_api_pb2.JobState.Enum.Name(job.state) for job in jobs.job_info]

    def kill(self) -> None:
        """End all of it with SIGKILL, workers included."""
        for process in self.processes:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(timeout=_DEADLINE_S)


@contextlib.contextmanager
def chosen_engine(folder: Path) -> Iterator[list[str]]:
    """Beam's options of the engine to test: the one that TALLYGRAPH_BEAM_ARGS names, or else a
    new one.

    Such an engine has to see this process's files, and its workers this repository.
    """
    if own := os.environ.get("TALLYGRAPH_BEAM_ARGS", "").strip():
        yield shlex.split(own)
        return
    with beam_engine(folder) as engine:
        yield engine.options
        states = engine.job_states()
    assert states, "no job reached the engine"
    assert set(states) == {"DONE"}


@contextlib.contextmanager
def beam_engine(folder: Path, ports: Sequence[int] = ()) -> Iterator[BeamEngine]:
    """Start an engine; its logs and staged files lie in `folder`.

    Args:
      ports: of the job server and of the worker pool; empty for free ones.
    """
    ports = ports or free_ports(2)
    server = f"local_job_service_main --port={ports[0]} --staging_dir={folder / 'staged'}"
    with (
        _program(f"runners.portability.{server}", ports[0], folder / "jobs.log") as jobs,
        _program(
            f"runners.worker.worker_pool_main --service_port={ports[1]}",
            ports[1],
            folder / "workers.log",
        ) as pool,
    ):
        jobs_at, pool_at = (f"localhost:{port}" for port in ports)
        yield BeamEngine(jobs_at, pool_at, (jobs, pool))


@contextlib.contextmanager
def _program(command: str, port: int, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    # The worker pool starts `python` as the path has it.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", *f"apache_beam.{command}".split()],
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PATH": path},
            start_new_session=True,
        )
    try:
        wait_until(lambda: listens(port), f"{command} listens, see {log}", process.poll)
        yield process
    finally:
        # With the workers that the pool has started. No interrupt: what runs in the background
        # may have been told to ignore those.
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=_DEADLINE_S)


def listens(port: int) -> bool:
    """Whether somebody listens on a port of this machine."""
    with contextlib.suppress(OSError), socket.create_connection(("localhost", port), 1):
        return True
    return False
