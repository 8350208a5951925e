"""A Beam engine as Flink's and Spark's are seen from a pipeline: a job server and its workers.

Both are processes of their own and Beam's own programs: the job server takes jobs over Beam's
Job API, the worker pool starts a fresh Python for each of them. Nothing of it needs Java.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
from apache_beam.portability.api import beam_job_api_pb2, beam_job_api_pb2_grpc

from tests.support.waiting import wait_until

_DEADLINE_S = 60


@dataclass(frozen=True)
class BeamEngine:
    """An engine that runs.

    Attributes:
      job_endpoint, worker_pool: addresses, host and port.
    """

    job_endpoint: str
    worker_pool: str

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


@contextlib.contextmanager
def beam_engine(folder: Path) -> Iterator[BeamEngine]:
    """Start an engine; its logs and staged files lie in `folder`."""
    ports = [_free_port(), _free_port()]
    server = f"local_job_service_main --port={ports[0]} --staging_dir={folder / 'staged'}"
    with (
        _program(f"runners.portability.{server}", ports[0], folder / "jobs.log"),
        _program(
            f"runners.worker.worker_pool_main --service_port={ports[1]}",
            ports[1],
            folder / "workers.log",
        ),
    ):
        yield BeamEngine(*(f"localhost:{port}" for port in ports))


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("localhost", 0))
        return int(listener.getsockname()[1])


@contextlib.contextmanager
def _program(command: str, port: int, log: Path) -> Iterator[None]:
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
        wait_until(lambda: _listens(port), f"{command} listens, see {log}", process.poll)
        yield
    finally:
        # With the workers that the pool has started. No interrupt: what runs in the background
        # may have been told to ignore those.
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=_DEADLINE_S)


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("localhost", port), 1):
        return True
    return False
