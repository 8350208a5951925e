"""The engine for TensorFlow Serving's Docker image."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Final

from serving.engines.base import GPU_ENVIRONMENT, EngineError, ServerSpec
from serving.engines.process import ProcessEngine, ProcessServer

PROGRAM: Final = "docker"
IMAGE: Final = "tensorflow/serving"
_ASK_TIMEOUT_S: Final = 20.0


def has_image(image: str = IMAGE) -> bool:
    """Return whether a Docker engine runs on this machine and has the image already."""
    program = shutil.which(PROGRAM)
    return program is not None and not _complaint(program, "image", "inspect", image)


class DockerEngine(ProcessEngine):
    """Runs an image of TensorFlow Serving; its ports are open on the loopback address only.

    Paths are the same inside the container as outside, so the config files are valid in both.
    """

    name = "docker"

    def __init__(self, image: str = IMAGE) -> None:
        """
        Args:
          image: an image with ``tensorflow_model_server`` on its PATH.

        Raises:
          EngineError: there is no ``docker``, or no Docker engine that responds.
        """
        program = shutil.which(PROGRAM)
        if program is None:
            raise EngineError(
                "docker was not found on PATH. Install Docker, or use the engine 'local'."
            )
        if complaint := _complaint(program, "version"):
            raise EngineError(
                f"Docker does not respond: {complaint}. Start the Docker engine, or use the "
                "engine 'local'."
            )
        self.program = program
        self.image = image
        self.description = f"TensorFlow Serving, Docker image {image}"

    def command(self, spec: ServerSpec) -> list[str]:
        return docker_command(spec, self.image, self.program)

    def _server(
        self, spec: ServerSpec, process: subprocess.Popen[bytes], log_file: Path
    ) -> ProcessServer:
        return _ContainerServer(self.program, spec, process, log_file)


def docker_command(spec: ServerSpec, image: str = IMAGE, program: str = PROGRAM) -> list[str]:
    """Return the command line that serves a spec, with both ports known, in a container."""
    command = [program, "run", "--rm", "--name", _container(spec)]
    # As the first process of its container the server would not hear SIGTERM.
    command += ["--init"]
    for port in (spec.grpc_port, spec.rest_port):
        command += ["-p", f"127.0.0.1:{port}:{port}"]
    if spec.gpu:
        command += ["--gpus", "all"]
        command += [f"--env={name}={value}" for name, value in GPU_ENVIRONMENT.items()]
    for path in _outermost(spec.paths):
        command += ["-v", f"{path}:{path}:ro"]
    return [*command, "--entrypoint", "tensorflow_model_server", image, *spec.arguments()]


class _ContainerServer(ProcessServer):
    """A container behind its ``docker run``, which passes signals on to it."""

    def __init__(
        self,
        program: str,
        spec: ServerSpec,
        process: subprocess.Popen[bytes],
        log_file: Path,
    ) -> None:
        super().__init__(DockerEngine.name, spec, process, log_file)
        self._program = program

    def stop(self, timeout_s: float = 35.0) -> None:
        super().stop(timeout_s)
        # A killed `docker run` leaves its container running; an ended one is gone already.
        _complaint(self._program, "rm", "--force", _container(self.spec))


def _container(spec: ServerSpec) -> str:
    return f"tallygraph-{spec.grpc_port}"


def _outermost(paths: tuple[Path, ...]) -> list[Path]:
    """The paths that lie in no other of them, each once."""
    every = sorted(set(paths))
    return [path for path in every if not any(other in path.parents for other in every)]


def _complaint(program: str, *arguments: str) -> str:
    """Run a command of Docker's; what it said if it failed, else nothing."""
    try:
        done = subprocess.run(
            [program, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=_ASK_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"no response within {_ASK_TIMEOUT_S:g} s"
    except OSError as error:
        return str(error)
    if done.returncode == 0:
        return ""
    said = done.stderr.decode(errors="replace").strip()
    return said.splitlines()[-1] if said else f"exit status {done.returncode}"
