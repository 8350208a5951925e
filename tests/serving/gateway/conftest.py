"""Gateways with a real model server behind them and a real ledger.

Most tests share one, each with tenants of its own. What must be held back stands behind a gate.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from serving.engines import RunningServer
from tests.serving.gateway.gated_proxy import GatedProxy, gated_proxy
from tests.serving.gateway.replicated import Replicated, replicated_servers
from tests.support.fresh_ledger import sqlite_ledger
from tests.support.rate_time import RATE_TIME, RateTime
from tests.support.running_gateway import RunningGateway, serving_gateway
from tests.support.served_model import metered_models, model_server

__all__ = ["metered_models", "model_server"]


@pytest.fixture(scope="session")
def shared_gateway(
    tmp_path_factory: pytest.TempPathFactory, model_server: RunningServer, metered_models: Path
) -> Iterator[RunningGateway]:
    folder = tmp_path_factory.mktemp("shared-gateway")
    with serving_gateway(folder, model_server.rest_url, metered_models) as running:
        yield running


@pytest.fixture
def gateway(shared_gateway: RunningGateway) -> RunningGateway:
    """For 32 requests at a time, with tenants of this test's own."""
    return shared_gateway.for_one_test()


@pytest.fixture(scope="session")
def shared_gate(model_server: RunningServer) -> Iterator[GatedProxy]:
    with gated_proxy(model_server.rest_url) as running:
        yield running


@pytest.fixture
def gate(shared_gate: GatedProxy) -> Iterator[GatedProxy]:
    """Between the gateway and the model server; open."""
    shared_gate.reset()
    yield shared_gate
    shared_gate.open()


@pytest.fixture(scope="session")
def shared_gated_gateway(
    tmp_path_factory: pytest.TempPathFactory, shared_gate: GatedProxy, metered_models: Path
) -> Iterator[RunningGateway]:
    folder = tmp_path_factory.mktemp("gated-gateway")
    with serving_gateway(folder, shared_gate.url, metered_models) as running:
        yield running


@pytest.fixture
def gated_gateway(gate: GatedProxy, shared_gated_gateway: RunningGateway) -> RunningGateway:
    """As `gateway`, behind the gate: what it asks the model waits while that is shut."""
    return shared_gated_gateway.for_one_test()


@pytest.fixture(scope="module")
def servers(
    metered_models: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Replicated]:
    """Two servers of the model, one of which has a second version."""
    with replicated_servers(tmp_path_factory.mktemp("replicas"), metered_models) as running:
        yield running


@pytest.fixture
def rate_time() -> Iterator[RateTime]:
    """Of all gateways in this process: no minute is over before a test says so."""
    RATE_TIME.stop()
    yield RATE_TIME
    RATE_TIME.stopped_at = None


@pytest.fixture
def patient_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache's Redis is waited for: a busy machine is none that is gone."""
    monkeypatch.setattr("serving.gateway.cache.redis_store._TIMEOUT_S", 30.0)


@pytest.fixture
def console_ledger(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Of a console that is tried: SQLite, unless a test asks for another kind."""
    if getattr(request, "param", "sqlite") == "postgresql":
        url: str = request.getfixturevalue("postgres_ledger")
        return url
    return sqlite_ledger(tmp_path)
