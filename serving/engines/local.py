"""The engine that every machine has: Tallygraph's own model server."""

from __future__ import annotations

import os
import sys
from dataclasses import replace

from serving.engines.base import EngineError, HeldPorts, ServerSpec
from serving.engines.process import ProcessEngine, ProcessServer


class LocalEngine(ProcessEngine):
    """Runs ``tallygraph-model-server`` with this interpreter, on the loopback address."""

    name = "local"
    description = "Tallygraph's local model server"

    def start(self, spec: ServerSpec) -> ProcessServer:
        ports = HeldPorts(2)
        grpc_port, rest_port = ports.numbers
        with_ports = replace(
            spec,
            grpc_port=spec.grpc_port or grpc_port,
            rest_port=spec.rest_port or rest_port,
        )
        try:
            server = super().start(with_ports)
        except EngineError:
            ports.close()
            raise
        server.ports = ports
        return server

    def command(self, spec: ServerSpec) -> list[str]:
        # A server whose starter was killed must not stay behind.
        flags = {"exit_with_process": str(os.getpid()), **spec.flags}
        program = [sys.executable, "-m", "serving.model_server.main"]
        return [*program, *replace(spec, flags=flags).arguments()]
