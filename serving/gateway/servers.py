"""The gateway's two servers in one process: the public one and the private one."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Final

import uvicorn
from starlette.applications import Starlette

from serving.bounded_http import KEEP_ALIVE_S
from serving.gateway.draining import Drain
from serving.gateway.http.limits import gateway_protocol

_LOG = logging.getLogger(__name__)

# What has arrived on a kept-alive connection when it would be closed is read, and answered.
_LAST_REQUESTS_S: Final = 0.1


def server_config(
    app: Starlette, host: str, port: int, keep_alive_s: int = KEEP_ALIVE_S
) -> uvicorn.Config:
    """How uvicorn serves an application of the gateway.

    Args:
      keep_alive_s: after so many seconds without a request a connection is closed. Whoever
        keeps connections open on the other side (a load balancer) must close them earlier, or
        sends a request into one that is closing.
    """
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        timeout_keep_alive=keep_alive_s,
        http=gateway_protocol(),
        ws="none",  # else an upgrade would get an error of another shape than all others
        log_config=None,  # `configure_logs` has configured them
        access_log=False,  # the gateway's own line says more, and nothing that it may not
        proxy_headers=False,  # nothing here asks where a client is
    )


class GatewayServer(uvicorn.Server):
    """Serves the public application, and the private one as long as it does.

    On SIGTERM it is not ready from then on, and answers as before for a while, in which those
    who send requests learn of it. Then it takes no more connections, closes those that are idle
    and answers what is under way. Another signal, and SIGINT, shorten the while.
    """

    def __init__(
        self,
        public: uvicorn.Config,
        private: uvicorn.Config,
        on_bound: Callable[[], None] = lambda: None,
        private_socket: socket.socket | None = None,
        drain: Drain | None = None,
        drain_s: float = 0.0,
    ) -> None:
        """
        Args:
          on_bound: called when clients can connect.
          private_socket: bound; None to bind what is configured.
          drain: what the applications read; None where they need not know.
          drain_s: how long requests are taken after SIGTERM.
        """
        super().__init__(public)
        self._drain = Drain() if drain is None else drain
        self._drain_s = drain_s
        self._drained_at: float | None = None
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

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Take a signal: not ready from now on."""
        if self._drain.begun or sig == signal.SIGINT:
            self._drain_s = 0.0
        self._drain.begun = True
        super().handle_exit(sig, frame)

    async def on_tick(self, counter: int) -> bool:
        """Whether it is time to close, asked ten times a second."""
        if not await super().on_tick(counter):
            return False
        self._drain.begun = True
        now = time.monotonic()
        if self._drained_at is None:
            self._drained_at = now
            if self._drain_s:
                _LOG.info("The gateway ends: it takes requests for %g s more", self._drain_s)
        return now >= self._drained_at + self._drain_s

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Answer what is under way; then nobody needs to look at it any more."""
        for server in self.servers:
            server.close()
        await asyncio.sleep(_LAST_REQUESTS_S)
        await super().shutdown(sockets)
        if self._serving is not None:
            self.private.should_exit = True
            await self._serving


class _PrivateServer(uvicorn.Server):
    """Leaves signals to the public server."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
