"""Chooses the engine for a name."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from serving.engines.base import Engine, EngineError
from serving.engines.binary import BinaryEngine, find_binary
from serving.engines.docker import IMAGE, DockerEngine, has_image
from serving.engines.local import LocalEngine

ENGINE_NAMES: Final = ("auto", "local", "binary", "docker")


def choose_engine(
    name: str = "auto", binary: str | Path | None = None, image: str = IMAGE
) -> Engine:
    """Return the engine for a name.

    Args:
      name: ``local``, ``binary``, ``docker``, or ``auto`` for the best that this machine has:
        a real ``tensorflow_model_server``, else the Docker image if the machine has it already,
        else the local server.
      binary: path of ``tensorflow_model_server``; None: it is searched on PATH.
      image: Docker image of TensorFlow Serving.

    Returns:
      An engine whose ``name`` and ``description`` say which one it is.

    Raises:
      EngineError: the name is unknown, or there is no such program.
    """
    if name == "local":
        return LocalEngine()
    if name == "binary":
        return BinaryEngine(binary)
    if name == "docker":
        return DockerEngine(image)
    if name == "auto":
        # A path that is set and wrong is an error, not a reason to use something else.
        if binary or find_binary():
            return BinaryEngine(binary)
        # Nobody asked for a download of gigabytes.
        return DockerEngine(image) if has_image(image) else LocalEngine()
    raise EngineError(
        f"Unknown engine. Expected: one of {', '.join(ENGINE_NAMES)}. Received: {name!r}."
    )
