"""Three gateways' ledgers as processes: what one that is killed or stopped had reserved comes
back while the others run, and a stopped one that goes on charges for nothing that is gone."""

from __future__ import annotations

import itertools
import json
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Self

import pytest
import sqlalchemy as sa

from serving.ledger import schema
from serving.ledger.verification import verify
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[3]
LEASE_S = 6.0


class LedgerProcess:
    """One of them."""

    def __init__(self, url: str, label: str) -> None:
        program = Path(__file__).with_name("lease_process.py")
        self.process = subprocess.Popen(
            [sys.executable, str(program), url, label, str(LEASE_S)],
            cwd=ROOT,
            env={"PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def heard(self) -> str:
        assert self.process.stdout is not None
        return str(json.loads(self.process.stdout.readline()))

    def do(self, what: str, request_id: str) -> str:
        """Its lease's id, or the name of the error."""
        assert self.process.stdin is not None
        print(json.dumps([what, request_id]), file=self.process.stdin, flush=True)
        return self.heard()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.send_signal(signal.SIGCONT)
        self.process.communicate()  # at the end of its input, it ends


@pytest.fixture
def processes(ledger_url: str, engine: sa.Engine) -> Iterator[list[LedgerProcess]]:
    with ExitStack() as stack:
        started = [
            stack.enter_context(LedgerProcess(ledger_url, f"gateway-{n}")) for n in range(3)
        ]
        assert [each.heard() for each in started] == ["ready"] * 3
        yield started


def test_reservations_of_the_dead_and_the_stopped_come_back(
    engine: sa.Engine, processes: list[LedgerProcess]
) -> None:
    killed, stopped, living = processes
    ids = [each.do("reserve", f"r{n}") for n, each in enumerate(processes)]
    assert len(set(ids)) == 3
    # Budget and limit are used up.
    assert living.do("reserve", "r9") == "BudgetExceededError"
    killed.process.kill()
    stop_outside_a_transaction(stopped, engine)
    wait_until(
        lambda: states(engine) == {"r0": "released", "r1": "released", "r2": "reserved"},
        "the reservations of the two to come back",
        living.process.poll,
    )
    assert living.do("reserve", "r3") == ids[2]
    stopped.process.send_signal(signal.SIGCONT)
    # It is not charged as if nothing had happened; and may reserve again, as somebody else.
    assert stopped.do("settle", "r1") == "ReservationLostError"
    another = stopped.do("reserve", "r4")
    assert another not in ids
    assert stopped.do("settle", "r4") == another
    assert [living.do("settle", each) for each in ("r2", "r3")] == [ids[2]] * 2
    with engine.connect() as connection:
        charged = connection.scalars(sa.select(schema.entries.c.request_id)).all()
    assert sorted(charged) == ["r2", "r3", "r4"]
    assert verify(engine) == (3, [])


def test_what_the_dead_were_delivering_is_given_to_the_next_who_asks(
    engine: sa.Engine, processes: list[LedgerProcess]
) -> None:
    """Charged once, whoever dies, and computed by nobody a second time."""
    first, second, third = processes
    assert first.do("ask", "r0") == "Reserved r0"
    first.do("settle", "r0")
    first.process.kill()

    def taken(by: LedgerProcess, name: str) -> bool:
        """Whether it has the answer; until the lease has ended, it would have to compute it."""
        told = by.do("ask", name)
        if told == "Undelivered r0":
            return True
        assert told == f"Reserved {name}"
        by.do("release", name)
        return False

    names = (f"second-{n}" for n in itertools.count())
    wait_until(lambda: taken(second, next(names)), "the first one's lease to end")
    # It dies with it, too.
    second.process.kill()
    names = (f"third-{n}" for n in itertools.count())
    wait_until(lambda: taken(third, next(names)), "the second one's lease to end")
    third.do("delivered", "r0")
    assert third.do("ask", "last") == "Reserved last"
    with engine.connect() as connection:
        charged = connection.scalars(sa.select(schema.entries.c.request_id)).all()
    assert list(charged) == ["r0"]
    assert verify(engine) == (1, [])


def states(engine: sa.Engine) -> dict[str, str]:
    query = sa.select(schema.requests.c.request_id, schema.requests.c.state)
    with engine.connect() as connection:
        return {row[0]: row[1] for row in connection.execute(query)}


def stop_outside_a_transaction(process: LedgerProcess, engine: sa.Engine) -> None:
    """On SQLite, whoever is stopped in the middle of one has the whole file."""

    def stopped() -> bool:
        process.process.send_signal(signal.SIGSTOP)
        if engine.dialect.name != "sqlite":
            return True
        connection = sqlite3.connect(str(engine.url.database), timeout=0.5)
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            process.process.send_signal(signal.SIGCONT)
            return False
        finally:
            connection.close()
        return True

    wait_until(stopped, "the process to be stopped outside a transaction")
