"""Which engine a name stands for."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from serving.engines.base import Engine, EngineError
from serving.engines.binary import BinaryEngine, find_binary
from serving.engines.local import LocalEngine

# A Docker engine takes its place here, before 'local' in what 'auto' tries.
ENGINE_NAMES: Final = ("auto", "local", "binary")


def choose_engine(name: str = "auto", binary: str | Path | None = None) -> Engine:
    """The engine of a name.

    Args:
      name: ``local``, ``binary``, or ``auto`` for the best that this machine has: a real
        ``tensorflow_model_server`` before the local server.
      binary: path of ``tensorflow_model_server``; None looks for it on PATH.

    Returns:
      An engine whose ``name`` and ``description`` say which one it is.

    Raises:
      EngineError: the name is unknown, or there is no such program.
    """
    if name == "local":
        return LocalEngine()
    if name == "binary":
        return BinaryEngine(binary)
    if name == "auto":
        # A path that is set and wrong is an error, not a reason to use something else.
        if binary or find_binary():
            return BinaryEngine(binary)
        return LocalEngine()
    raise EngineError(
        f"Unknown engine. Expected: one of {', '.join(ENGINE_NAMES)}. Received: {name!r}."
    )
