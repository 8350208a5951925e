"""A database that cannot be written for a while: nobody stays locked out, and it is noticed."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

from serving.ledger import Ledger
from serving.ledger.leases import Lease
from serving.ledger.probe import WriteProbe
from serving.ledger.verification import verify
from tests.serving.ledger.full_disk_process import locked_out

ROOT = Path(__file__).parents[3]
# The charge, the probe, the ledger's own probe, the reservation; then all is as before.
BROKEN = ["outage", "outage", "outage", "reserved"]
MENDED = ["settled"]


def test_a_disk_that_is_full_until_it_is_emptied(tmp_path: Path) -> None:
    as_root = () if os.geteuid() == 0 else ("--map-root-user",)
    in_namespace = ("unshare", "--mount", *as_root, "sh", "-euc")
    mount = f"mount -t tmpfs -o size=2048k none {tmp_path}"
    if subprocess.run([*in_namespace, mount], capture_output=True, check=False).returncode:
        pytest.skip("no small disk can be made here: unshare and mount are not permitted")
    program = Path(__file__).with_name("full_disk_process.py")
    ran = subprocess.run(
        [*in_namespace, f"{mount}; exec {sys.executable} {program} {tmp_path}"],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout) == [BROKEN + MENDED, 1, []]


@pytest.mark.parametrize("ledger_url", ["postgresql"], indirect=True)
def test_a_server_that_is_read_only_until_it_is_not(engine: sa.Engine) -> None:
    """As a replica that has not taken over yet."""
    lease = Lease(engine, "gateway-0")
    lease.renew()
    administrator = sa.create_engine(engine.url, isolation_level="AUTOCOMMIT")

    def set_read_only(how: str) -> None:
        with administrator.connect() as connection:
            connection.execute(sa.text("SET default_transaction_read_only = off"))
            name = engine.url.database
            connection.execute(
                sa.text(f"ALTER DATABASE {name} SET default_transaction_read_only = {how}")
            )
            connection.execute(
                sa.text(
                    "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
            )

    def break_it() -> Callable[[], None]:
        set_read_only("on")
        return lambda: set_read_only("off")

    told = asyncio.run(locked_out(Ledger(engine, lease), break_it))
    administrator.dispose()
    assert told == BROKEN + MENDED
    assert verify(engine) == (1, [])


def test_it_is_probed_now_and_then(engine: sa.Engine) -> None:
    """However often it is asked; and leaves nothing behind."""
    now, commits = [0.0], list[int]()
    sa.event.listen(engine, "commit", lambda connection: commits.append(1))
    probe = WriteProbe(engine, 1.0, lambda: now[0])
    for _ in range(3):
        probe.check()
    assert len(commits) == 1
    with engine.begin() as connection:
        connection.execute(sa.text("ALTER TABLE leases RENAME TO lost"))
    probe.check()
    now[0] = 1.0
    for _ in range(2):
        with pytest.raises(sa.exc.SQLAlchemyError):
            probe.check()
    with engine.begin() as connection:
        connection.execute(sa.text("ALTER TABLE lost RENAME TO leases"))
    now[0] = 2.0
    probe.check()
    with engine.connect() as connection:
        assert connection.execute(sa.text("SELECT * FROM leases")).all() == []
