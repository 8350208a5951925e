"""How a model server starts."""

from __future__ import annotations

from pathlib import Path

from serving.engines import RunningServer
from serving.engines.process import ProcessServer


def test_nothing_is_loaded_that_draws(reference_server: RunningServer) -> None:
    """Keras would: a third of a server's start, and as much of its memory."""
    assert isinstance(reference_server, ProcessServer)
    loaded = Path(f"/proc/{reference_server.process.pid}/maps").read_text()
    assert "/tensorflow/" in loaded
    for library in ("matplotlib", "pandas", "sklearn"):
        assert f"/{library}/" not in loaded
