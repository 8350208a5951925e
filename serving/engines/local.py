"""The engine that every machine has: Tallygraph's own model server."""

from __future__ import annotations

import os
import sys
from dataclasses import replace

from serving.engines.base import Engine, RunningServer, ServerSpec
from serving.engines.process import start_process


class LocalEngine(Engine):
    """Runs ``tallygraph-model-server`` with this interpreter, on the loopback address."""

    name = "local"
    description = "Tallygraph's local model server"

    def start(self, spec: ServerSpec) -> RunningServer:
        # A server whose starter was killed must not stay behind.
        flags = {"exit_with_process": str(os.getpid()), **spec.flags}
        command = [sys.executable, "-m", "serving.model_server.main"]
        return start_process(self.name, command, replace(spec, flags=flags))
