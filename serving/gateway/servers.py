"""The gateway's two servers in one process: the public one and the private one."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator

import uvicorn
from starlette.applications import Starlette

from serving.gateway.http.limits import gateway_protocol


def server_config(app: Starlette, host: str, port: int) -> uvicorn.Config:
    """How uvicorn serves an application of the gateway."""
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        http=gateway_protocol(),
        ws="none",  # else an upgrade would get an error of another shape than all others
        log_config=None,  # `configure_logs` has configured them
        access_log=False,  # the gateway's own line says more, and nothing that it may not
        proxy_headers=False,  # nothing here asks where a client is
    )


class GatewayServer(uvicorn.Server):
    """Serves the public application, and the private one as long as it does."""

    def __init__(
        self,
        public: uvicorn.Config,
        private: uvicorn.Config,
        on_bound: Callable[[], None] = lambda: None,
        private_socket: socket.socket | None = None,
    ) -> None:
        """
        Args:
          on_bound: called when clients can connect.
          private_socket: bound; None to bind what is configured.
        """
        super().__init__(public)
        self.private = _PrivateServer(private)
        self._on_bound = on_bound
        self._private_sockets = [private_socket] if private_socket else None
        self._serving: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen for clients, then for those who run the gateway."""
        await super().startup(sockets)
        self._on_bound()
        if self.started:
            self._serving = asyncio.create_task(self.private.serve(self._private_sockets))

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Answer what is under way; then nobody needs to look at it any more."""
        await super().shutdown(sockets)
        if self._serving is not None:
            self.private.should_exit = True
            await self._serving


class _PrivateServer(uvicorn.Server):
    """Leaves signals to the public server."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
