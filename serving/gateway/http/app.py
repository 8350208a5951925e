"""The gateway's ASGI application: routes, and what is around every request."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Route

from serving.gateway.http.errors import exception_handlers
from serving.gateway.http.render import EXPOSED
from serving.gateway.http.routes import Gateway, Routes
from serving.gateway.http.telemetry import Telemetry

FIRST_POLL_S: Final = 1.0
"""How long a start waits for the model servers to say what they have."""


def create_app(gateway: Gateway) -> Starlette:
    """The public application: the API, and whether the process is alive."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        # Before the first requests: a burst of them would keep a health check from being
        # answered in time. A server that does not answer yet is polled again, and holds up
        # nobody.
        if gateway.on_start:
            started = [asyncio.ensure_future(step()) for step in gateway.on_start]
            await asyncio.wait(started, timeout=FIRST_POLL_S)
        yield
        await gateway.on_close()

    app = Starlette(
        routes=Routes(gateway).public(),
        middleware=[*_cors(gateway.cors_origins), _telemetry(gateway)],
        exception_handlers=exception_handlers("All paths are listed in /openapi.json"),
        lifespan=lifespan,
    )
    return _without_redirects(app)


def create_private_app(gateway: Gateway, admin: Sequence[Route] = ()) -> Starlette:
    """The application for those who run the gateway: metrics, readiness, model servers.

    Args:
      admin: routes of the admin API.
    """
    app = Starlette(
        routes=[*Routes(gateway).private(), *admin],
        middleware=[_telemetry(gateway)],
        exception_handlers=exception_handlers(
            "This address has /metrics, /readyz, /model-servers and the admin API, whose paths "
            "are listed in /admin/v1/openapi.json; clients call the public address"
        ),
    )
    return _without_redirects(app)


def _telemetry(gateway: Gateway) -> Middleware:
    return Middleware(
        Telemetry,
        metrics=gateway.metrics,
        admission=gateway.admission,
        tracer=gateway.tracer,
        drain=gateway.drain,
    )


def _without_redirects(app: Starlette) -> Starlette:
    # A redirect would be built from the Host header, which is the client's own.
    app.router.redirect_slashes = False
    return app


def _cors(origins: Sequence[str]) -> Iterator[Middleware]:
    """What lets pages of these origins call the API from a browser."""
    if origins:
        yield Middleware(
            CORSMiddleware,
            allow_origins=list(origins),
            allow_methods=["GET", "HEAD", "POST"],
            allow_headers=["*"],
            expose_headers=list(EXPOSED),
            max_age=3600,
        )
