"""A database's tables are brought up to date: once, by whoever comes first."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa
from alembic.script import ScriptDirectory

from serving.ledger.database import open_database, writing
from serving.ledger.upgrade import _MIGRATIONS, NewerLedgerError, newest_revision, upgrade


def test_many_upgrade_an_empty_database_at_once(database_url: str) -> None:
    engines = [open_database(database_url) for _ in range(4)]
    with ThreadPoolExecutor(len(engines)) as pool:
        list(pool.map(upgrade, engines))
    assert "entries" in sa.inspect(engines[0]).get_table_names()
    for engine in engines:
        engine.dispose()


def test_the_newest_revision_is_the_last_of_alembics() -> None:
    assert newest_revision() == ScriptDirectory(str(_MIGRATIONS)).get_current_head()


def test_a_database_of_a_later_version_is_refused_and_left_as_it_is(engine: sa.Engine) -> None:
    version = sa.table("alembic_version", sa.column("version_num"))
    with writing(engine) as connection:
        connection.execute(version.update().values(version_num="9999"))
    with pytest.raises(NewerLedgerError, match=f"at most revision {newest_revision()}.*9999"):
        upgrade(engine)
    with writing(engine) as connection:
        assert list(connection.scalars(sa.select(version.c.version_num))) == ["9999"]


@pytest.mark.parametrize("ledger_url", ["sqlite"], indirect=True)
def test_a_gateway_that_starts_again_loads_nothing_that_it_does_not_use(
    engine: sa.Engine,
) -> None:
    """Each of them takes a tenth of a second and more."""
    unused = {"alembic", "httpx", "opentelemetry.sdk", "redis", "tensorflow"}
    code = (
        "import sys\n"
        "from pipelines.cli import main\n"
        "import serving.gateway.running as running\n"
        f"running.open_ledger({str(engine.url)!r}, create=True)\n"
        f"print({unused!r} & set(sys.modules))"
    )
    finished = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120
    )
    assert finished.stdout == "set()\n", finished.stdout + finished.stderr
