"""The engine for a ``tensorflow_model_server`` that is installed on this machine."""

from __future__ import annotations

import shutil
from pathlib import Path

from serving.engines.base import EngineError, ServerSpec
from serving.engines.process import ProcessEngine

PROGRAM = "tensorflow_model_server"


def find_binary(setting: str | Path | None = None) -> str | None:
    """Return the program's path: the setting's, or the one on PATH; None if there is none."""
    return shutil.which(str(setting) if setting else PROGRAM)


class BinaryEngine(ProcessEngine):
    """Runs a real TensorFlow Serving. It listens on every address, which cannot be changed, and
    does not know Tallygraph's own flags."""

    name = "binary"

    def __init__(self, setting: str | Path | None = None) -> None:
        """
        Args:
          setting: path or name of the program; None: it is searched on PATH.

        Raises:
          EngineError: there is no such program.
        """
        path = find_binary(setting)
        if path is None:
            raise EngineError(
                f"{setting or PROGRAM} was not found"
                + ("" if setting else " on PATH")
                + ". Install TensorFlow Serving, set the program's path, or use the engine "
                "'local'."
            )
        self.path = path
        self.description = f"TensorFlow Serving, {path}"

    def command(self, spec: ServerSpec) -> list[str]:
        return [self.path, *spec.arguments()]
