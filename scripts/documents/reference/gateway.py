"""A gateway that asks nobody and answers nobody: to read what it says of itself."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from functools import cache
from typing import Any

from serving.gateway.app import Gateway, create_app
from serving.gateway.metrics import Metrics
from serving.gateway.tenants import Tenants
from serving.ledger.database import open_database
from serving.ledger.upgrade import upgrade


@contextlib.contextmanager
def idle_gateway() -> Iterator[Gateway]:
    """A gateway with a ledger and no model, which does not listen."""
    with tempfile.TemporaryDirectory() as folder:
        engine = open_database(f"sqlite:///{folder}/ledger.sqlite")
        upgrade(engine)
        try:
            yield Gateway(engine, Tenants(engine), [], Metrics())
        finally:
            engine.dispose()


@cache
def openapi_document() -> dict[str, Any]:
    """What the gateway answers at ``/openapi.json``."""
    with idle_gateway() as gateway:
        return create_app(gateway, _nothing).openapi()


async def _nothing() -> None:
    """It holds nothing that would have to be given back."""
